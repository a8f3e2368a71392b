/** Networks: segments that VMs have ports on. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { NounList } from "../../parts/noun-list"
import { NounPages } from "../../parts/noun-pages"
import type { RowOf } from "../../parts/resource-list"
import type { Column } from "../../parts/virtual-table"
import { CreateDialog } from "./dialogs"
import { OneNetwork } from "./one"

export default function Networks() {
  return <NounPages List={NetworkList} One={OneNetwork} />
}

function NetworkList() {
  const { t } = useTranslation()
  const columns = useMemo<Column<RowOf<"Network">>[]>(
    () => [
      {
        key: "segment",
        title: t("networks.segment"),
        width: "8rem",
        sort: "spec.segment",
        cell: of => t(`networks.segments.${of.spec.segment ?? "bridge"}`),
      },
      { key: "bridge", title: t("networks.bridge"), width: "8rem", cell: of => <bdi>{of.spec.bridge}</bdi> },
      { key: "vlan", title: "VLAN", width: "4rem", align: "end", cell: of => of.spec.vlan || "–" },
      {
        key: "subnet",
        title: t("networks.subnet"),
        width: "minmax(8rem, 2fr)",
        cell: of => of.spec.subnet?.cidr ?? "–",
      },
      {
        key: "dhcp",
        title: "DHCP",
        width: "4rem",
        cell: of => (of.spec.subnet?.dhcp !== false && of.spec.subnet ? t("resource.yes") : t("resource.no")),
      },
      { key: "mtu", title: "MTU", width: "4rem", align: "end", cell: of => of.spec.mtu },
    ],
    [t],
  )
  return (
    <NounList
      kind="Network"
      title={t("networks.title")}
      create={t("networks.create")}
      columns={columns}
      empty={t("networks.empty")}
      dialog={close => <CreateDialog close={close} />}
    />
  )
}
