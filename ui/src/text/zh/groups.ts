import type { groups as en } from "../en/groups"

export const groups: typeof en = {
  title: "放置组",
  create: "创建放置组",
  empty: "还没有放置组。放置组让虚拟机聚在一起或彼此分开。",
  rules: "规则",
  rules_help:
    "每行一条：affinity 或 anti-affinity，后接 node、rack 或标签键；或 nodes=disk=fast。加上 weight=0.5 即为偏好。例如 anti-affinity,rack,weight=0.5",
  whole: "全有或全无",
  whole_help: "组内等待中的虚拟机要么同时获得节点，要么都不获得。",
  kind: "虚拟机应当",
  together: "聚在一起",
  apart: "彼此分开",
  towards: "依据",
  by: "按 {{domain}}",
  nodes: "位于节点 {{nodes}}",
  strength: "强度",
  required: "必须",
  preferred: "偏好，权重 {{weight}}",
  delete_warning: "若没有虚拟机引用 {{name}}，它将被删除。",
}
