import { common } from "./common"
import { events } from "./events"
import { groups } from "./groups"
import { images } from "./images"
import { networks } from "./networks"
import { nodes } from "./nodes"
import { operations } from "./operations"
import { overview } from "./overview"
import { policies } from "./policies"
import { pools } from "./pools"
import { profiles } from "./profiles"
import { rebalance } from "./rebalance"
import { resource } from "./resource"
import { signin } from "./signin"
import { tokens } from "./tokens"
import { topology } from "./topology"
import { vms } from "./vms"
import { volumes } from "./volumes"
import { yaml } from "./yaml"

export const en = {
  ...common,
  events,
  groups,
  images,
  networks,
  nodes,
  operations,
  overview,
  policies,
  pools,
  profiles,
  rebalance,
  resource,
  signin,
  tokens,
  topology,
  vms,
  volumes,
  yaml,
}
export type Texts = typeof en
