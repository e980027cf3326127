/** A page of 50 jobs has 15 KB; what is a thousand times that is no page. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024

/** Reads a body as text, without a byte order mark. Gives null, and stops reading, where it is larger than any page. */
export async function readBody(body: AsyncIterable<Uint8Array>): Promise<string | null> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    if (bytes > MAX_BODY_BYTES) return null
    parts.push(part)
  }
  return new TextDecoder().decode(Buffer.concat(parts))
}
