export const pools = {
  title: "Storage pools",
  create: "Create pool",
  empty: "There are no storage pools. A pool is a directory on the nodes in which volumes live.",
  path: "Directory",
  path_help: "The same on each node, like /var/lib/corral/pools/local. It is made where it does not exist.",
  shared: "Shared",
  shared_help: "The nodes see the same files there (NFS): VMs can move without their disks.",
  delete_warning: "The pool is forgotten, if no volume is in it. The directory {{path}} stays.",
  on_nodes: "On nodes: usable on {{ready}} of {{total}}",
  first_nodes: "These are the first 1,000 nodes.",
}
