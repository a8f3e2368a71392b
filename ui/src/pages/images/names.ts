/** Names: what an image is called after the file that it comes from. Pure. */
const ENDINGS = /\.(qcow2?|raw|img|vmdk|vhdx?|vdi|vpc|iso)(\.(gz|xz|zst))?$/i

export function nameOfFile(file: string): string {
  const name = file
    .replace(ENDINGS, "")
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, "-")
  return name.replace(/^[.-]+|[.-]+$/g, "").slice(0, 60)
}
