export const events = {
  title: "Events",
  empty: "Nothing has happened yet.",
  at: "When",
  severity: "Severity",
  about: "About",
  about_name: "Name of what it is about",
  message: "What happened",
  message_has: "Words of the message",
  reason: "Reason",
  level: { info: "info", warning: "warning", error: "error" },
}
