import * as z from './mini-zod.ts'

/** The kinds of attachments that an agent can accept: `text` covers everything textual, such as source code or SVG. */
export const AttachmentKind = z.enum(['image', 'text', 'pdf', 'other'])
export type AttachmentKind = z.infer<typeof AttachmentKind>

/** Media types that agents and browsers show as an image. */
export const IMAGE_TYPES: readonly string[] = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']

/** Returns the kind of a media type. */
export function attachmentKind(media_type: string): AttachmentKind {
  const type = media_type.replace(/;.*$/, '').trim().toLowerCase()
  if (IMAGE_TYPES.includes(type)) return 'image'
  if (type === 'application/pdf') return 'pdf'
  const isText = /^text\/|[/+](json|xml|yaml|x-yaml|toml|javascript|x-sh|x-ndjson|sql)$/.test(type)
  return isText ? 'text' : 'other'
}
