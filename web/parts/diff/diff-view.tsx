import { Binary, FileDiff as FileIcon, MessageSquare } from 'lucide-react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { ActionButton } from '../action-button.tsx'
import { CopyButton } from '../copy-button.tsx'
import { isLetter } from '../letters.ts'
import { type Draft, keepCommented, promptOf, useDrafts, useSeen } from './drafts.ts'
import { FileDiff } from './file-diff.tsx'
import { type FileKind, fingerprint, foldedWhy, kindNames, kindOfPath } from './kinds-of-file.ts'
import type { DiffFile } from './parse-diff.ts'
import { Shown } from './shown-text.tsx'

/** The recipient of comments on lines. */
export interface Send {
  /** Name of the recipient, such as `codex`. */
  to: string
  /** Sends the comments as one prompt; the key stays the same until the hub has answered. */
  act: (prompt: string, key: string) => Promise<unknown>
  /** The reason why they cannot be sent now. */
  why?: string | undefined
}

interface Props {
  files: readonly DiffFile[]
  /** The run or task under whose name drafts and marks are stored. */
  scope: string
  /** The path of the file to show; without it, the first file is shown. */
  chosen: string | undefined
  choose: (path: string) => void
  /** The kinds of files by path, from the hub's own list of the change. */
  kinds?: ReadonlyMap<string, FileKind> | undefined
  /** Sends the comments; `later` if they go with a prompt sent from elsewhere on the page. */
  send?: Send | 'later' | undefined
}

function Counts({ added, removed }: { added: number; removed: number }) {
  return (
    <span className="shrink-0 font-mono text-label whitespace-nowrap">
      <span className="text-ok">+{added}</span> <span className="text-bad">−{removed}</span>
    </span>
  )
}

/** Shows the numbers of lines that all files gain and lose. */
export function DiffCounts({ files }: { files: readonly DiffFile[] }) {
  return (
    <Counts
      added={files.reduce((sum, { added }) => sum + added, 0)}
      removed={files.reduce((sum, { removed }) => sum + removed, 0)}
    />
  )
}

/** Shows a path with its folders fainter than its name; a long one loses its middle, never its name. */
function Path({ path }: { path: string }) {
  const cut = path.lastIndexOf('/') + 1
  return (
    <bdi className="flex min-w-0" title={path}>
      <span className="truncate text-ink2">
        <Shown text={path.slice(0, cut)} />
      </span>
      <span className={`truncate ${cut === 0 ? '' : 'max-w-full shrink-0'}`}>
        <Shown text={path.slice(cut)} />
      </span>
    </bdi>
  )
}

const changeWords = { added: 'new', removed: 'removed', renamed: 'moved', copied: 'copied', changed: '' }

/** Number of files listed at first, and of further files per request. */
const MOST_FILES = 150

const order: FileKind[] = ['code', 'ci', 'hook', 'owners', 'test', 'made']

/**
 * Lists changed files and shows the lines of the chosen one. Comments on lines are drafts until they are sent
 * together.
 */
export function DiffView({ files, scope, chosen, choose, kinds, send }: Props) {
  const { drafts, put, drop } = useDrafts(scope)
  const { seen, toggle } = useSeen(scope)
  const place = useRef<HTMLDivElement>(null)
  const groups = useMemo(() => {
    const found = new Map<FileKind, DiffFile[]>(order.map((kind) => [kind, []]))
    for (const file of files) found.get(kinds?.get(file.path) ?? kindOfPath(file.path))!.push(file)
    return [...found].filter(([, some]) => some.length > 0)
  }, [files, kinds])
  const sorted = useMemo(() => groups.flatMap(([, some]) => some), [groups])
  const prints = useMemo(() => new Map(files.map((file) => [file, fingerprint(file)])), [files])
  const file = sorted.find(({ path }) => path === chosen) ?? sorted[0]
  const [more, setMore] = useState(MOST_FILES)
  const listed = Math.max(more, file === undefined ? 0 : sorted.indexOf(file) + 1)
  const isListed = new Set(sorted.slice(0, listed))
  const isSeen = (one: DiffFile) => seen.has(prints.get(one)!)
  const toggleSeen = () => {
    if (file === undefined) return
    toggle(prints.get(file)!)
    if (isSeen(file)) return
    const next = sorted.slice(sorted.indexOf(file) + 1).find((one) => !isSeen(one))
    if (next !== undefined) choose(next.path)
  }
  const onKey = useRef((_event: KeyboardEvent) => {})
  onKey.current = (event) => {
    const { key, target } = event
    if (file === undefined || !isLetter(event)) return
    const step = { n: 1, p: -1 }[key]
    if (key === 'v') toggleSeen()
    // Elsewhere on the page, `n` starts a new run.
    else if (step !== undefined && place.current?.contains(target as Node)) {
      const next = sorted[sorted.indexOf(file) + step]
      if (next !== undefined) choose(next.path)
    } else return
    event.preventDefault()
    event.stopPropagation()
  }
  useEffect(() => {
    const press = (event: KeyboardEvent) => onKey.current(event)
    document.addEventListener('keydown', press)
    return () => document.removeEventListener('keydown', press)
  }, [])
  const comment = (draft: Draft) => {
    put(draft)
    keepCommented(scope, [...prints.values()])
  }
  if (file === undefined) return <p className="p-5 text-ink2">No changes.</p>
  const words = drafts.length === 1 ? '1 comment' : `${drafts.length} comments`
  return (
    <div ref={place} className="@container flex min-h-0 min-w-0 flex-1 flex-col">
      <div className="flex min-h-0 flex-1 flex-col @3xl:flex-row">
        <nav
          aria-label="Changed files"
          className="max-h-[30%] shrink-0 overflow-y-auto border-line py-1 max-@3xl:border-b @3xl:max-h-none @3xl:w-60 @3xl:border-r"
        >
          {groups.map(([kind, all], index) => {
            const some = all.filter((one) => isListed.has(one))
            return some.length === 0 ? null : (
              <section key={kind} aria-label={kindNames[kind]}>
                {(index > 0 || kind !== 'code') && (
                  <h3 className="px-3 pt-3 pb-1 text-label text-ink2">{kindNames[kind]}</h3>
                )}
                <ul>
                  {some.map((one) => (
                    <li key={one.path}>
                      <button
                        type="button"
                        aria-current={one === file || undefined}
                        className="flex h-7 w-full items-center gap-2 px-3 text-left text-meta hover:bg-hover aria-[current]:bg-sel max-sm:h-11"
                        onClick={() => choose(one.path)}
                      >
                        <span className={`flex min-w-0 flex-1 ${isSeen(one) ? 'text-ink3' : ''}`}>
                          <Path path={one.path} />
                        </span>
                        {drafts.some(({ path }) => path === one.path) && (
                          <span className="flex items-center gap-0.5 text-label text-accent">
                            <MessageSquare size={12} strokeWidth={1.75} aria-hidden />
                            {drafts.filter(({ path }) => path === one.path).length}
                            <span className="sr-only"> comments</span>
                          </span>
                        )}
                        {isSeen(one) && <span className="text-label text-ink3">seen</span>}
                        {one.isBinary ? (
                          <span className="text-label text-ink2">binary</span>
                        ) : (
                          <Counts added={one.added} removed={one.removed} />
                        )}
                      </button>
                    </li>
                  ))}
                </ul>
              </section>
            )
          })}
          {sorted.length > listed && (
            <button type="button" className="button mx-3 my-2" onClick={() => setMore(listed + MOST_FILES)}>
              Show more ({(sorted.length - listed).toLocaleString('en')} left)
            </button>
          )}
        </nav>
        <div className="flex min-h-0 min-w-0 flex-1 flex-col">
          <div className="flex h-8 shrink-0 items-center gap-2 border-b border-line bg-sunken px-3 max-sm:h-11">
            <h2 className="flex min-w-0 items-center gap-2 font-mono text-meta font-medium">
              {file.isBinary ? (
                <Binary size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
              ) : (
                <FileIcon size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
              )}
              <bdi className="truncate" title={file.path}>
                <Shown text={file.path} />
              </bdi>
            </h2>
            <CopyButton text={file.path} label="Copy the path" />
            {changeWords[file.change] !== '' && <span className="chip">{changeWords[file.change]}</span>}
            {file.mode !== undefined && <span className="chip font-mono max-sm:hidden">{file.mode}</span>}
            <label className="ml-auto flex items-center gap-1.5 text-meta text-ink2">
              <input
                type="checkbox"
                className="size-3.5 accent-accent"
                checked={isSeen(file)}
                onChange={toggleSeen}
              />
              seen <kbd className="key max-sm:hidden">V</kbd>
            </label>
          </div>
          <Lines key={file.path} file={file} drafts={drafts} put={send && comment} />
        </div>
      </div>
      {send === 'later' && drafts.length > 0 && (
        <p className="flex shrink-0 items-center border-t border-line bg-surface px-3 py-1.5 text-meta text-ink2">
          {words} to send with your next prompt
          <button type="button" className="button button-plain ml-auto" onClick={() => drop(drafts)}>
            Discard{drafts.length === 1 ? '' : ' all'}
          </button>
        </p>
      )}
      {send !== undefined && send !== 'later' && drafts.length > 0 && (
        <div className="flex shrink-0 flex-wrap items-center gap-2 border-t border-line bg-surface px-3 py-2">
          <span className="text-meta text-ink2">
            {words}: {drafts.length === 1 ? 'a draft' : 'drafts'} that only you can see
            {send.why !== undefined && <span className="block">{send.why}</span>}
          </span>
          <span className="ml-auto" />
          <button type="button" className="button button-plain" onClick={() => drop(drafts)}>
            Discard{drafts.length === 1 ? '' : ' all'}
          </button>
          {send.why === undefined ? (
            <ActionButton
              kind="main"
              doing="Sending…"
              above
              act={async (key) => {
                await send.act(promptOf(drafts), key)
                drop(drafts)
              }}
            >
              Send {words} to {send.to}
            </ActionButton>
          ) : (
            <button type="button" className="button" aria-disabled title={send.why}>
              Send {words} to {send.to}
            </button>
          )}
        </div>
      )}
    </div>
  )
}

/** Shows the lines, or why they are folded or missing. */
function Lines({
  file,
  drafts,
  put,
}: { file: DiffFile } & Pick<Parameters<typeof FileDiff>[0], 'drafts' | 'put'>) {
  const why = useMemo(() => foldedWhy(file), [file])
  const [unfolded, setUnfolded] = useState(false)
  const isFolded = why !== undefined && !unfolded && !drafts.some(({ path }) => path === file.path)
  if (file.hunks.length > 0 && !isFolded)
    return (
      <>
        <From file={file} />
        <FileDiff file={file} drafts={drafts} put={put} />
      </>
    )
  return (
    <>
      <From file={file} />
      <div className="flex flex-col items-start gap-3 p-4 text-ink2">
        {isFolded ? (
          <>
            {why}
            <button type="button" className="button" onClick={() => setUnfolded(true)}>
              Show file
            </button>
          </>
        ) : file.isBinary ? (
          'The content of a binary file is not shown.'
        ) : file.mode !== undefined ? (
          `Only its mode has changed: ${file.mode}.`
        ) : file.change === 'changed' ? (
          'Its text has not changed.'
        ) : (
          `${{ added: 'New empty file', removed: 'An empty file was removed', renamed: 'Moved without other changes', copied: 'Copied without other changes' }[file.change]}.`
        )}
      </div>
    </>
  )
}

function From({ file }: { file: DiffFile }) {
  if (file.oldPath === undefined) return null
  return (
    <p className="truncate border-b border-line px-3 py-1 text-label text-ink2">
      {file.change === 'copied' ? 'copied from' : 'moved from'}{' '}
      <bdi className="font-mono">
        <Shown text={file.oldPath} />
      </bdi>
    </p>
  )
}
