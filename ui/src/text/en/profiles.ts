export const profiles = {
  title: "Profiles",
  create: "Create profile",
  empty: "There are no profiles. A profile holds what VMs of a kind have in common, under a name.",
  guest: "Guest",
  firmware: "Firmware",
  restart: "When a VM stops by itself",
  stop_timeout: "Shutdown may take",
  seconds: "Seconds.",
  memory_help: "Like 4GiB.",
  open: "left open",
  all: "All of it",
  more_in_yaml:
    "What is left open comes from the preset of the guest. All further fields can be set as YAML.",
  delete_warning: "{{name}} is deleted. VMs that were made with it keep what they have.",
}
