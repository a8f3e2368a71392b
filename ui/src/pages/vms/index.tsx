/** VMs: the list, a new one, and each by itself. */
import { Route, Switch } from "wouter"
import { VmList } from "./list"

export default function Vms() {
  return (
    <Switch>
      <Route path="/">
        <VmList />
      </Route>
    </Switch>
  )
}
