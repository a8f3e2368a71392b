export const yaml = {
  title: "YAML",
  label: "Manifest of {{name}}",
  compare: "Compare and apply",
  drop: "Drop my edits",
  would_change: "What applying it changes: {{name}}",
  apply: "Apply",
  same: "Nothing is different.",
}
