import type { tokens as en } from "../en/tokens"

export const tokens: typeof en = {
  title: "令牌",
  create: "创建令牌",
  empty: "还没有令牌。",
  name_help: "归谁使用，或作何用途。",
  role: "角色",
  roles: { viewer: "查看者", operator: "操作员", admin: "管理员" },
  roles_help: {
    viewer: "查看者：可查看全部，不能修改",
    operator: "操作员：可修改虚拟机、节点及所有资源",
    admin: "管理员：还可创建和吊销令牌",
  },
  expires: "到期",
  expired: "已过期（{{when}}）",
  never: "永不",
  valid_for: "有效期",
  days_one: "{{count}} 天",
  days_other: "{{count}} 天",
  revoke: "吊销",
  revoke_warning: "使用 {{name}} 的一方将立即失去访问权限，包括控制台会话。",
  secret_title: "令牌 {{name}}",
  secret_once: "请立即复制：之后任何人都无法再看到它。",
  secret_kept: "我已复制",
  admins_only: "仅限管理员",
  admins_only_hint: "令牌由管理员创建和吊销。请使用管理员令牌登录查看。",
}
