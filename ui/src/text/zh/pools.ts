import type { pools as en } from "../en/pools"

export const pools: typeof en = {
  title: "存储池",
  create: "创建存储池",
  empty: "还没有存储池。存储池是节点上存放卷的目录。",
  path: "目录",
  path_help: "在每个节点上相同，例如 /var/lib/corral/pools/local。不存在时会自动创建。",
  shared: "共享",
  shared_help: "各节点看到相同的文件（NFS）：虚拟机迁移时无需搬动磁盘。",
  delete_warning: "若池中没有卷，该存储池将被移除；目录 {{path}} 会保留。",
  on_nodes: "节点：{{total}} 个中有 {{ready}} 个可用",
  first_nodes: "仅显示前 1,000 个节点。",
}
