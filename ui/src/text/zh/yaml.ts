import type { yaml as en } from "../en/yaml"

export const yaml: typeof en = {
  title: "YAML",
  label: "{{name}} 的清单",
  compare: "比较并应用",
  drop: "放弃我的编辑",
  would_change: "应用后的变更：{{name}}",
  apply: "应用",
  same: "没有差异。",
}
