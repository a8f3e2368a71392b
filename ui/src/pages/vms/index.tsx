/** VMs: the list, a new one, and each by itself. */
import { lazy } from "react"
import { Route, Switch } from "wouter"
import { VmList } from "./list"
import "./vms.css"

const CreateVm = lazy(() => import("./create"))
const VmDetail = lazy(() => import("./detail"))

export default function Vms() {
  return (
    <Switch>
      <Route path="/">
        <VmList />
      </Route>
      <Route path="/new">
        <CreateVm />
      </Route>
      <Route path="/:vm/:part?">{({ vm, part }) => <VmDetail key={vm} id={vm} part={part ?? ""} />}</Route>
    </Switch>
  )
}
