/** Tokens: keys to the API, for admins; a secret is shown once. */
import {
  Alert,
  Button,
  EmptyState,
  EmptyStateBody,
  Label,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
} from "@patternfly/react-core"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import type { Schemas } from "../../api/client"
import { ago, moment, serverNowS } from "../../look/format"
import { Code } from "../../parts/code"
import { command } from "../../parts/command"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { NounList } from "../../parts/noun-list"
import { Page } from "../../parts/page"
import { DeleteDialog, Doing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import type { Column } from "../../parts/virtual-table"
import { useMay } from "../../session/session"

type Token = RowOf<"Token">
const DAY_S = 86_400
const SPANS = ["", "1", "7", "30", "90", "365"]

export default function Tokens() {
  const { t } = useTranslation()
  const may = useMay("admin")
  const [made, setMade] = useState<Schemas["NewToken"] | null>(null)
  const columns = useMemo<Column<Token>[]>(
    () => [
      {
        key: "name",
        title: t("col.name"),
        width: "minmax(12rem, 3fr)",
        sort: "name",
        cell: of => <bdi className="name">{of.name}</bdi>,
      },
      {
        key: "role",
        title: t("tokens.role"),
        width: "8rem",
        sort: "spec.role",
        cell: of => (
          <Label isCompact variant="outline">
            {t(`tokens.roles.${of.spec.role ?? "viewer"}`)}
          </Label>
        ),
      },
      {
        key: "expires",
        title: t("tokens.expires"),
        width: "minmax(9rem, 1fr)",
        sort: "spec.expires_at",
        cell: of => <Expiry at={of.spec.expires_at ?? null} />,
      },
      {
        key: "revoke",
        title: t("col.actions"),
        width: "5rem",
        cell: of => (
          <Doing
            least="admin"
            name={of.name}
            deeds={[
              {
                key: "revoke",
                title: t("tokens.revoke"),
                danger: true,
                dialog: close => (
                  <DeleteDialog kind="Token" of={of} close={close} verb={t("tokens.revoke")}>
                    {t("tokens.revoke_warning", { name: of.name })}
                  </DeleteDialog>
                ),
              },
            ]}
          />
        ),
      },
    ],
    [t],
  )
  if (!may)
    return (
      <Page title={t("tokens.title")}>
        <EmptyState headingLevel="h2" titleText={t("tokens.admins_only")}>
          <EmptyStateBody>{t("tokens.admins_only_hint")}</EmptyStateBody>
        </EmptyState>
      </Page>
    )
  return (
    <>
      <NounList
        kind="Token"
        title={t("tokens.title")}
        create={t("tokens.create")}
        columns={columns}
        empty={t("tokens.empty")}
        least="admin"
        opens={false}
        dialog={close => <CreateDialog close={close} onMade={setMade} />}
      />
      {made && <Secret of={made} close={() => setMade(null)} />}
    </>
  )
}

function Expiry({ at }: { at: number | null }) {
  const { t } = useTranslation()
  if (!at) return <>{t("tokens.never")}</>
  return (
    <span title={moment(at)}>{at < serverNowS() ? t("tokens.expired", { when: ago(at) }) : ago(at)}</span>
  )
}

type CreateProps = { close: () => void; onMade: (made: Schemas["NewToken"]) => void }

function CreateDialog({ close, onMade }: CreateProps) {
  const { t } = useTranslation()
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, help: t("tokens.name_help") },
    {
      name: "role",
      label: t("tokens.role"),
      kind: "choice",
      initial: "viewer",
      choices: (["viewer", "operator", "admin"] as const).map(value => ({
        value,
        label: t(`tokens.roles_help.${value}`),
      })),
    },
  ]
  const ttl: Field = {
    name: "days",
    label: t("tokens.valid_for"),
    kind: "choice",
    initial: "30",
    choices: SPANS.map(value => ({
      value,
      label: value ? t("tokens.days", { count: Number(value) }) : t("tokens.never"),
    })),
  }
  return (
    <AskDialog
      title={t("tokens.create")}
      verb={t("action.create")}
      name=""
      fields={[...fields, ttl]}
      request={values => ({
        method: "POST",
        path: "/api/v1/tokens",
        body: {
          ...bodyOf(fields, values),
          ...(values.days ? { ttl_s: Number(values.days) * DAY_S } : {}),
        },
      })}
      command={values =>
        command(["corral", "token", "create", values.name], {
          role: values.role,
          ttl: values.days ? `${values.days}d` : "",
        })
      }
      onDone={answer => onMade(answer as unknown as Schemas["NewToken"])}
      onClose={close}
    />
  )
}

function Secret({ of, close }: { of: Schemas["NewToken"]; close: () => void }) {
  const { t } = useTranslation()
  return (
    <Modal isOpen variant="medium" onClose={close} aria-labelledby="secret-title">
      <ModalHeader title={t("tokens.secret_title", { name: of.resource.name })} labelId="secret-title" />
      <ModalBody>
        <Alert isInline variant="warning" title={t("tokens.secret_once")} />
        <Code text={of.secret} label="secret" />
      </ModalBody>
      <ModalFooter>
        <Button onClick={close}>{t("tokens.secret_kept")}</Button>
      </ModalFooter>
    </Modal>
  )
}
