import type { topology as en } from "../en/topology"

export const topology: typeof en = {
  title: "拓扑",
  scope: "显示",
  name: "名称",
  of: { rack: "一个机架", node: "一个节点", network: "一个网络", vm: "一台虚拟机" },
  kind: { Network: "网络", Node: "节点", VM: "虚拟机" },
  label: "{{name}}：{{networks}} 个网络、{{nodes}} 个节点、{{vms}} 台虚拟机及其连接；清单见下方",
  choose: "请选择要显示的内容。",
  missing: "没有“{{name}}”。",
  hidden: "另有 {{count}} 个未能放入图中。",
}
