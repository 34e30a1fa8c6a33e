import { FileText, Image as ImageIcon, Paperclip, X } from 'lucide-react'
import { createContext, useContext, useEffect, useRef, useState } from 'react'
import type { Attachment } from '../../src/contract/agent.ts'
import { ApiError, address } from '../data/api.ts'
import { keepAttached, storeAttachment, storedAttachments } from '../data/sessions.ts'

/** Limits of the hub: number of files per prompt, and bytes per file. */
const MOST = 10
const MOST_BYTES = 5 * 1024 * 1024
const SHOWN = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']

/** A file for the next prompt; it has an `id` once the hub has stored it. */
export interface Attached {
  key: string
  name: string
  media_type: string
  id?: string
  /** Why the file is refused. */
  failure?: string
}

/**
 * Manages the files for an unsent prompt. Files that the hub has stored survive a reload, as the prompt does. `first`
 * are the files to begin with; if given, nothing is stored in this browser.
 */
export function useAttachments(draft: string, first?: readonly Attached[]) {
  const [files, setFiles] = useState<readonly Attached[]>(() => first ?? storedAttachments(draft))
  const count = useRef(0)
  const isStored = first === undefined
  useEffect(() => {
    if (isStored) keepAttached(draft, files)
  }, [draft, files, isStored])
  const change = (key: string, more: Partial<Attached>) =>
    setFiles((all) => all.map((one) => (one.key === key ? { ...one, ...more } : one)))
  const add = (values: Iterable<File>) => {
    const before = files.length
    for (const [index, file] of [...values].entries()) {
      const name = file.name === '' ? 'pasted.png' : file.name
      const one: Attached = { key: `${Date.now()}.${count.current++}`, name, media_type: typeOf(file) }
      const failure =
        before + index >= MOST
          ? `a prompt can have at most ${MOST} files`
          : file.size > MOST_BYTES
            ? `larger than ${MOST_BYTES / 1024 / 1024} MiB`
            : undefined
      setFiles((all) => [...all, failure === undefined ? one : { ...one, failure }])
      if (failure !== undefined) continue
      storeAttachment(name, one.media_type, file).then(
        (id) => change(one.key, { id }),
        (error) => change(one.key, { failure: error instanceof ApiError ? error.message : String(error) }),
      )
    }
  }
  return {
    files,
    add,
    remove: (key: string) => setFiles((all) => all.filter((one) => one.key !== key)),
    /** Removes the sent files; files added meanwhile stay. */
    drop: (gone: readonly Attached[]) =>
      setFiles((all) => all.filter(({ key }) => !gone.some((one) => one.key === key))),
    /** The ids of all files; undefined while one is being sent or is refused. */
    ids: files.every(({ id }) => id !== undefined) ? files.map(({ id }) => id!) : undefined,
  }
}

/** Returns the media type of a file. Browsers name none for most source code, which is text. */
function typeOf({ name, type }: File): string {
  if (type !== '') return type
  return /\.(zip|gz|tgz|7z|exe|bin|so|o|a|woff2?|ttf|mp[34]|mov|avi|sqlite|db)$/i.test(name)
    ? 'application/octet-stream'
    : 'text/plain'
}

/** Returns the files of a paste or a drop. */
export const filesOf = (data: DataTransfer | null): File[] => [...(data?.files ?? [])]

/** A button that opens the file picker, also on a phone. */
export function AttachButton({ add }: { add: (files: Iterable<File>) => void }) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to attach"
        onChange={({ target }) => {
          add([...(target.files ?? [])])
          target.value = ''
        }}
      />
      <button
        type="button"
        aria-label="Attach files"
        title="Attach files (you can also paste or drop them)"
        className="flex size-8 items-center justify-center rounded-md text-ink2 hover:bg-idle hover:text-ink max-sm:size-11"
        onClick={() => input.current?.click()}
      >
        <Paperclip size={15} strokeWidth={1.75} aria-hidden />
      </button>
    </>
  )
}

/** Shows the files for the next prompt. */
export function AttachedChips({
  files,
  remove,
}: {
  files: readonly Attached[]
  remove: (key: string) => void
}) {
  if (files.length === 0) return null
  return (
    <ul aria-label="Attachments" className="flex flex-wrap gap-1.5">
      {files.map(({ key, name, media_type, id, failure }) => (
        <li
          key={key}
          className={`chip h-7 max-w-full gap-1.5 max-sm:h-11 ${failure === undefined ? '' : 'bg-bad-soft text-bad'}`}
        >
          <Mark media_type={media_type} />
          <bdi className="max-w-52 truncate">{name}</bdi>
          {failure !== undefined ? (
            <span className="truncate">: {failure}</span>
          ) : (
            id === undefined && <span className="text-ink3">sending…</span>
          )}
          <button
            type="button"
            aria-label={`Remove ${name}`}
            className="-mr-1 flex size-6 shrink-0 items-center justify-center rounded hover:text-ink max-sm:size-11"
            onClick={() => remove(key)}
          >
            <X size={12} strokeWidth={1.75} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  )
}

const Mark = ({ media_type }: { media_type: string }) => {
  const Icon = media_type.startsWith('image/') ? ImageIcon : FileText
  return <Icon size={13} strokeWidth={1.75} aria-hidden className="shrink-0" />
}

/** The run whose conversation is shown; attachments are fetched from it. */
export const TalkOfRun = createContext('')

/** Shows the files of a prompt: images as pictures without scripts, all else as a file to save. */
export function Attachments({ attachments }: { attachments: readonly Attachment[] }) {
  const run = useContext(TalkOfRun)
  const href = (id: string) =>
    address(`/api/runs/${encodeURIComponent(run)}/attachments/${encodeURIComponent(id)}`)
  return (
    <ul aria-label="Attachments" className="mt-2 flex flex-wrap gap-2">
      {attachments.map(({ id, name, media_type, bytes }) => (
        <li key={id}>
          {SHOWN.includes(media_type.toLowerCase()) ? (
            <a href={href(id)} target="_blank" rel="noopener noreferrer" title={name} className="block">
              <img
                src={href(id)}
                alt={name}
                loading="lazy"
                className="h-28 max-w-60 rounded-lg border border-line2 bg-surface object-contain"
              />
            </a>
          ) : (
            <a
              href={href(id)}
              download={name}
              className="flex min-h-8 items-center gap-1.5 rounded-lg border border-line2 bg-surface px-2.5 text-meta hover:border-ink3 max-sm:min-h-11"
            >
              <Mark media_type={media_type} />
              <bdi className="max-w-60 truncate">{name}</bdi>
              <span className="text-ink3">{sizeOf(bytes)}</span>
            </a>
          )}
        </li>
      ))}
    </ul>
  )
}

const sizeOf = (bytes: number): string =>
  bytes < 1024
    ? `${bytes} B`
    : bytes < 1024 * 1024
      ? `${Math.round(bytes / 1024)} KiB`
      : `${(bytes / 1024 / 1024).toFixed(1)} MiB`
