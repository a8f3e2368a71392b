/** Rebalance: ask for a plan, look at it, carry it out; and those that were. */
import { Route, Switch } from "wouter"
import { OneRebalance } from "./one"
import { RebalancePage } from "./page"

export default function Rebalance() {
  return (
    <Switch>
      <Route path="/:id">
        <OneRebalance />
      </Route>
      <Route>
        <RebalancePage />
      </Route>
    </Switch>
  )
}
