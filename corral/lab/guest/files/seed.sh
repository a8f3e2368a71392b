# Apply the NoCloud seed: hostname, keys, password, files. What is to run is left in /run/seed/script.
seed=/run/seed
for part in meta-data user-data; do [ -f $seed/$part ] || : >$seed/$part; done
mkdir -p $seed/files $seed/run
: >$seed/script

case "$(head -n 1 $seed/user-data)" in
'#!'*) echo "chmod 700 $seed/user-data; $seed/user-data" >$seed/script ;;
*) awk -v out=$seed -f /etc/cloud-config.awk $seed/user-data ;;
esac

name=$(cat $seed/hostname 2>/dev/null)
[ -n "$name" ] || name=$(sed -n 's/^local-hostname:[ ]*//p;s/^hostname:[ ]*//p' $seed/meta-data | head -n 1 | tr -d "\"'")
hostname "${name:-corral-guest}"
hostname >/etc/hostname
echo "127.0.0.1 localhost $(hostname)" >/etc/hosts
sed -n 's/^instance-id:[ ]*//p' $seed/meta-data | tr -d "\"'" >/run/instance-id

if [ -s $seed/keys ]; then cp $seed/keys /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys; fi
[ -s $seed/password ] && echo "root:$(cat $seed/password)" | chpasswd

for path in $seed/files/*.path; do
    [ -f "$path" ] || continue
    target=$(cat "$path")
    mkdir -p "$(dirname "$target")"
    cp "${path%.path}.content" "$target"
    [ -f "${path%.path}.mode" ] && chmod "$(cat "${path%.path}.mode")" "$target"
done
for command in $seed/run/*; do [ -f "$command" ] && echo "sh $command" >>$seed/script; done
