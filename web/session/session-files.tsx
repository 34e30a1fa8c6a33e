import { useQuery } from '@tanstack/react-query'
import { ChevronRight, File, FileSymlink, Folder } from 'lucide-react'
import { useState } from 'react'
import type { WorkspaceFile, WorkspaceFolder } from '../../src/contract/runs/workspace-queries.ts'
import { ApiError, ask } from '../data/api.ts'
import { Failure } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { VisibleText } from '../parts/visible-text.tsx'

interface Props {
  run: string
  live: boolean
  version: string
  file: string | undefined
  choose: (path: string | undefined) => void
}

const use = <T,>(what: 'files' | 'file', run: string, path: string, version: string, enabled = true) =>
  useQuery({
    queryKey: ['session-folder', run, what, path, version],
    queryFn: ({ signal }) =>
      ask<T>('GET', `/api/runs/${encodeURIComponent(run)}/workspace/${what}`, { query: { path }, signal }),
    enabled,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: (before) => before,
    retry: false,
  })

/** Lists the files in a session's folder, as its runner has them, and shows one of them. */
export default function SessionFiles({ run, live, version, file, choose }: Props) {
  if (!live)
    return (
      <p className="p-4 text-meta text-ink2">
        The session has ended, so its folder is no longer shown. Its changes are saved under Changes.
      </p>
    )
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div
        className={`min-h-0 overflow-y-auto py-1 ${file === undefined ? 'flex-1' : 'max-h-[35%] shrink-0'}`}
      >
        <FolderList {...{ run, version, file, choose }} path="" depth={0} />
      </div>
      {file !== undefined && <Shown key={file} {...{ run, version, choose }} path={file} />}
    </div>
  )
}

const sizeOf = (bytes: number): string =>
  bytes < 1024
    ? `${bytes} B`
    : bytes < 1024 ** 2
      ? `${Math.round(bytes / 1024)} KB`
      : `${(bytes / 1024 ** 2).toFixed(1)} MB`

/** Indents by depth; deeper files are not indented further. */
const indents = ['pl-3', 'pl-7', 'pl-11', 'pl-15', 'pl-19', 'pl-23']

function FolderList({
  run,
  version,
  file,
  choose,
  path,
  depth,
}: Omit<Props, 'live'> & { path: string; depth: number }) {
  const { data, error } = use<WorkspaceFolder>('files', run, path, version)
  const [open, setOpen] = useState<ReadonlySet<string>>(
    () =>
      new Set(file?.startsWith(path) ? [file.slice(path === '' ? 0 : path.length + 1).split('/')[0]!] : []),
  )
  if (error instanceof ApiError)
    return (
      <div className="p-2">
        <Failure error={error} />
      </div>
    )
  if (data === undefined) return <div className="h-6" aria-busy="true" />
  const indent = indents[Math.min(depth, indents.length - 1)]
  if (data.entries.length === 0) return <p className={`py-1 text-meta text-ink2 ${indent}`}>Empty folder.</p>
  return (
    <ul>
      {data.entries.map(({ name, kind, bytes }) => {
        const whole = path === '' ? name : `${path}/${name}`
        const isOpen = kind === 'folder' && open.has(name)
        const toggle = () => {
          const next = new Set(open)
          if (!next.delete(name)) next.add(name)
          setOpen(next)
        }
        const Mark = kind === 'folder' ? Folder : kind === 'link' ? FileSymlink : File
        const canOpen = kind === 'folder' || kind === 'file'
        return (
          <li key={name}>
            <button
              type="button"
              aria-expanded={kind === 'folder' ? isOpen : undefined}
              aria-current={whole === file || undefined}
              aria-disabled={!canOpen}
              title={canOpen ? undefined : 'Links are not followed, and only regular files are shown'}
              className={`flex h-7 w-full items-center gap-2 pr-3 text-left text-meta hover:bg-hover aria-[current]:bg-sel max-sm:h-11 ${indent} ${canOpen ? '' : 'text-ink3'}`}
              onClick={() => (kind === 'folder' ? toggle() : kind === 'file' && choose(whole))}
            >
              <ChevronRight
                size={12}
                strokeWidth={1.75}
                aria-hidden
                className={`shrink-0 text-ink3 ${kind === 'folder' ? (isOpen ? 'rotate-90' : '') : 'invisible'}`}
              />
              <Mark size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
              <bdi className="min-w-0 flex-1 truncate font-mono">
                <VisibleText text={name} />
              </bdi>
              {bytes !== undefined && <span className="text-label text-ink3">{sizeOf(bytes)}</span>}
            </button>
            {isOpen && <FolderList {...{ run, version, file, choose }} path={whole} depth={depth + 1} />}
          </li>
        )
      })}
      {data.more && (
        <li className={`py-1 text-meta text-ink2 ${indent}`}>
          This folder has more entries than are listed.
        </li>
      )}
    </ul>
  )
}

/** Number of lines shown at first, and of further lines per request. */
const MOST_LINES = 2000

function Shown({ run, version, path, choose }: Omit<Props, 'live' | 'file'> & { path: string }) {
  const { data, error } = use<WorkspaceFile>('file', run, path, version)
  const [most, setMost] = useState(MOST_LINES)
  const lines = data?.text?.replace(/\n$/, '').split('\n') ?? []
  const shown = lines.slice(0, most)
  return (
    <section aria-label={path} className="flex min-h-0 flex-1 flex-col border-t border-line">
      <div className="flex h-8 shrink-0 items-center gap-2 bg-sunken px-3 max-sm:h-11">
        <h2 className="min-w-0 truncate font-mono text-meta font-medium" title={path}>
          <bdi>{path}</bdi>
        </h2>
        <CopyButton text={path} label="Copy path" />
        {data !== undefined && <span className="text-label text-ink2">{sizeOf(data.bytes)}</span>}
        <button type="button" className="button button-plain ml-auto" onClick={() => choose(undefined)}>
          Close
        </button>
      </div>
      {error instanceof ApiError ? (
        <div className="p-3">
          <Failure error={error} />
        </div>
      ) : data === undefined ? (
        <div className="flex-1" aria-busy="true" />
      ) : data.binary ? (
        <p className="p-4 text-meta text-ink2">
          Binary file of {sizeOf(data.bytes)}. Its content is not shown.
        </p>
      ) : data.text === '' ? (
        <p className="p-4 text-meta text-ink2">Empty file.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        <div tabIndex={0} className="min-h-0 flex-1 overflow-auto font-mono text-meta">
          <table className="w-full">
            <tbody>
              {shown.map((line, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: lines are named by their numbers
                <tr key={index}>
                  <td className="w-px border-r border-line px-2 text-right align-top text-ink3 select-none">
                    {index + 1}
                  </td>
                  <td className="px-2 whitespace-pre">
                    <VisibleText text={line.slice(0, 2000)} />
                    {line.length > 2000 && <span className="text-ink3"> … {line.length - 2000} more</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {lines.length > most && (
            <button type="button" className="button m-3" onClick={() => setMost(most + MOST_LINES)}>
              Show more ({(lines.length - most).toLocaleString('en')} lines left)
            </button>
          )}
          {data.cut && lines.length <= most && (
            <p className="p-3 text-ink2">Only the beginning is shown. The file has {sizeOf(data.bytes)}.</p>
          )}
        </div>
      )}
    </section>
  )
}
