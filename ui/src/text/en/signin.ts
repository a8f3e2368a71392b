export const signin = {
  title: "Sign in to Corral",
  token: "Token",
  token_help:
    "Starts with corral_tok-. `corral token create NAME` makes one; `corral server init` shows the first.",
  submit: "Sign in",
  again: "The session has ended. Sign in again to go on where you are.",
  no_token: "Paste a token first.",
  note: "The token is exchanged for a session cookie that scripts of the page can't read. It is not kept in the browser.",
}
