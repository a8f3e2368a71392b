export const vms = {
  title: "VMs",
  create: "Create VM",
  start: "Start",
  stop: "Stop",
  kill: "Force off",
  restart: "Restart",
  policy: "Policy",
  address: "Address",
}
