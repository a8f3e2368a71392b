import type { signin as en } from "../en/signin"

export const signin: typeof en = {
  title: "登录 Corral",
  token: "令牌",
  token_help:
    "以 corral_tok- 开头。`corral token create NAME` 可创建令牌；`corral server init` 会显示第一个。",
  submit: "登录",
  again: "会话已结束。重新登录后可从当前位置继续。",
  no_token: "请先粘贴令牌。",
  note: "令牌会换成页面脚本无法读取的会话 Cookie，不会保存在浏览器中。",
}
