import type { vms as en } from "../en/vms"

export const vms: typeof en = {
  title: "虚拟机",
  create: "创建虚拟机",
  start: "启动",
  stop: "停止",
  kill: "强制关闭",
  restart: "重启",
  policy: "策略",
  address: "地址",
}
