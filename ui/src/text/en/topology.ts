export const topology = {
  title: "Topology",
  scope: "Show",
  name: "Name",
  of: { rack: "A rack", node: "A node", network: "A network", vm: "A VM" },
  kind: { Network: "Networks", Node: "Nodes", VM: "VMs" },
  label: "{{name}}: {{networks}} networks, {{nodes}} nodes, {{vms}} VMs and what links them; listed below",
  choose: "Choose what to show.",
  missing: "There is no “{{name}}”.",
  hidden: "{{count}} more do not fit into the picture.",
}
