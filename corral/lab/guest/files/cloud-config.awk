# Reads the part of cloud-config that the test guest knows, in YAML's block style:
#   hostname, password, ssh_authorized_keys, runcmd (texts, [lists], | blocks), write_files (path, permissions, content)
# Writes files under `out`: hostname, password, keys, run/NNN, files/NNN.path, .mode, .content

function plain(text) {  # a scalar without its quotes
    sub(/^[ \t]+/, "", text); sub(/[ \t]+$/, "", text)
    if (text ~ /^".*"$/) {
        text = substr(text, 2, length(text) - 2)
        gsub(/\\"/, "\"", text); gsub(/\\n/, "\n", text); gsub(/\\\\/, "\\", text)
    } else if (text ~ /^'.*'$/) {
        text = substr(text, 2, length(text) - 2)
        gsub(/''/, "'", text)
    }
    return text
}

function shell(text) {  # a word, quoted for sh
    gsub(/'/, "'\\''", text)
    return "'" text "'"
}

function words(text,    rest, item, line) {  # [sh, -c, "a, b"] as a line for sh
    rest = substr(text, 2, length(text) - 2)
    while (rest !~ /^[ \t]*$/) {
        sub(/^[ \t]+/, "", rest)
        if (match(rest, /^"(\\.|[^"\\])*"/) || match(rest, /^'([^']|'')*'/)) {
            item = substr(rest, 1, RLENGTH)
            rest = substr(rest, RLENGTH + 1)
            sub(/^[ \t]*,/, "", rest)
        } else {
            item = rest; sub(/,.*/, "", item)
            if (!sub(/^[^,]*,/, "", rest)) rest = ""
        }
        line = line (line == "" ? "" : " ") shell(plain(item))
    }
    return line
}

function indent_of(line) { match(line, /^ */); return RLENGTH }

function put(name, text) { printf "%s\n", text > (out "/" name); close(out "/" name) }

function number(n) { return sprintf("%03d", n) }

function is_block(text) { return text ~ /^[|>][-+]?[ \t]*$/ }

function begin_block(name, least) {  # what follows and is indented by at least `least` goes to `name`
    block = out "/" name; block_least = least; block_indent = -1
    printf "" > block
}

function command(text) {
    name = "run/" number(++commands)
    if (is_block(text)) begin_block(name, item_indent + 1)
    else if (text ~ /^\[.*\]$/) put(name, words(text))
    else put(name, plain(text))
}

function field(text,    key, value) {  # of an entry of write_files
    key = text; sub(/:.*/, "", key)
    value = text; sub(/^[^:]*:[ \t]*/, "", value)
    if (key == "path") put("files/" number(files) ".path", plain(value))
    if (key == "permissions") put("files/" number(files) ".mode", plain(value))
    if (key == "content") {
        if (is_block(value)) begin_block("files/" number(files) ".content", item_indent + 1)
        else put("files/" number(files) ".content", plain(value))
    }
}

block != "" {
    if ($0 ~ /^[ \t]*$/) { if (block_indent >= 0) print "" >> block; next }
    if (indent_of($0) >= block_least) {
        if (block_indent < 0) block_indent = indent_of($0)
        print substr($0, block_indent + 1) >> block
        next
    }
    close(block); block = ""
}
/^[ \t]*(#|$)/ { next }
/^[A-Za-z_-]+:/ {
    section = $0; sub(/:.*/, "", section)
    value = $0; sub(/^[^:]*:[ \t]*/, "", value); value = plain(value)
    if (value != "" && (section == "hostname" || section == "password")) put(section, value)
    next
}
/^ *- / || /^ *-$/ {
    if (section == "write_files" && files && indent_of($0) > item_indent) next
    item_indent = indent_of($0)
    item = $0; sub(/^ *- */, "", item)
    if (section == "ssh_authorized_keys") print plain(item) >> (out "/keys")
    if (section == "runcmd") command(item)
    if (section == "write_files") { files++; put("files/" number(files) ".content", ""); field(item) }
    next
}
section == "write_files" { sub(/^ */, ""); field($0) }
