import type { profiles as en } from "../en/profiles"

export const profiles: typeof en = {
  title: "配置模板",
  create: "创建配置模板",
  empty: "还没有配置模板。配置模板以一个名称保存同类虚拟机的共同设置。",
  guest: "客户机",
  firmware: "固件",
  restart: "虚拟机自行停止时",
  stop_timeout: "关机时限",
  seconds: "秒。",
  memory_help: "例如 4GiB。",
  open: "未指定",
  all: "全部设置",
  more_in_yaml: "未指定的项取自客户机预设。其余字段可通过 YAML 设置。",
  delete_warning: "{{name}} 将被删除。用它创建的虚拟机保留现有设置。",
}
