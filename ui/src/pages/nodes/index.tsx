/** Nodes: the list, and each by itself. */
import { Route, Switch } from "wouter"
import { NodeList } from "./list"
import "./nodes.css"

export default function Nodes() {
  return (
    <Switch>
      <Route path="/">
        <NodeList />
      </Route>
    </Switch>
  )
}
