import type { events as en } from "../en/events"

export const events: typeof en = {
  title: "事件",
  empty: "还没有发生任何事件。",
  at: "时间",
  severity: "严重程度",
  about: "相关对象",
  about_name: "相关对象名称",
  message: "内容",
  message_has: "内容包含",
  reason: "原因",
  level: { info: "信息", warning: "警告", error: "错误" },
}
