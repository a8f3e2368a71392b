/** A new VM: what the form says as a request, and as a command. Pure. */
import { quote } from "../../parts/code"
import { bodyOf, type Field, type Values } from "../../parts/fields"

/** The request's body: disk and NIC are lists there. */
export function requestOf(fields: Field[], values: Values): Record<string, unknown> {
  const { image, size, pool, network, user_data, ...rest } = bodyOf(fields, values)
  const disk = { ...(image ? { image } : {}), ...(size ? { size } : {}), ...(pool ? { pool } : {}) }
  return {
    ...rest,
    ...(image || size ? { disks: [disk] } : {}),
    ...(network ? { nics: [{ network }] } : {}),
    ...(user_data ? { cloud_init: { user_data } } : {}),
    ...(rest.groups ? { groups: [rest.groups] } : {}),
  }
}

/** The same on the command line. */
export function commandOf(values: Values): string {
  const words = ["corral vm create", quote(String(values.name || "NAME"))]
  const option = (flag: string, value: unknown) => {
    if (value) words.push(flag, quote(String(value)))
  }
  option("--profile", values.profile)
  option("--guest", values["hardware.guest"])
  option("--cpus", values.cpus)
  option("--memory", values.memory)
  option("--image", values.image)
  option("--disk", values.size)
  option("--pool", values.pool)
  option("--network", values.network)
  option("--firmware", values["hardware.firmware"])
  option("--graphics", values["hardware.graphics"])
  option("--policy", values.policy)
  option("--group", values.groups)
  option("--node", values.node)
  if (values["hardware.tpm"]) words.push("--tpm")
  if (values.user_data) words.push("--user-data user-data.yaml")
  for (const label of String(values.labels || "").split(",")) option("--label", label.trim())
  if (values.running === false) words.push("--no-start")
  if (values.protected) words.push("--protected")
  return words.join(" ")
}
