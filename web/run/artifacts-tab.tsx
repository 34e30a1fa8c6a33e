import { useQuery } from '@tanstack/react-query'
import { ChevronDown, ChevronRight, Download } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import type { ArtifactList, ListedArtifact } from '../../src/contract/run-api.ts'
import { address, ask, request } from '../data/api.ts'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { blocksOf, inlineOf } from './markdown.ts'

/** Maximum number of bytes of an artifact that are read to show it in place. */
const MOST_BYTES = 256 * 1024

interface Props {
  run: string
  /** Lists only the artifacts of this step and host; a button leads to the others. */
  step: string
  host: string
  /** Causes another read when it changes. */
  version: number
}

const pathOf = (run: string, id: string) =>
  `/api/runs/${encodeURIComponent(run)}/artifacts/${encodeURIComponent(id)}`

/** Formats bytes as `512 B`, `3.1 KB` or `12 MB`. */
export function bytesWord(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB']
  let [size, unit] = [bytes, 0]
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000
  return `${unit === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`
}

/** Lists the files that a run has stored. Text and pictures open in place; all else can only be saved. */
export default function ArtifactsTab({ run, step, host, version }: Props) {
  const [all, setAll] = useState(false)
  const { data, error } = useQuery({
    queryKey: ['artifacts', run, version],
    queryFn: ({ signal }) =>
      ask<ArtifactList>('GET', `/api/runs/${encodeURIComponent(run)}/artifacts`, { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (data === undefined) return <p className="p-4 text-meta text-ink2">{error?.message ?? ''}</p>
  const own = data.artifacts.filter((one) => one.step === step && one.host === host)
  const shown = all ? data.artifacts : own
  const others = data.artifacts.length - own.length
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <section tabIndex={0} aria-label="Artifacts" className="min-h-0 flex-1 overflow-auto p-4">
      {shown.length === 0 && <p className="text-meta text-ink2">This step saved no files.</p>}
      <ul className="divide-y divide-line">
        {shown.map((one) => (
          <Artifact key={one.artifact_id} run={run} artifact={one} from={all} />
        ))}
      </ul>
      {others > 0 && (
        <button type="button" className="button mt-3" onClick={() => setAll(!all)}>
          {all ? 'Only this step' : `Show ${others} more from other steps`}
        </button>
      )}
    </section>
  )
}

type Kind = 'image' | 'junit' | 'markdown' | 'text'

/**
 * Returns how an artifact is shown in place, or undefined if it is not. HTML and SVG can contain scripts, and can
 * only be saved.
 */
function kindOf({ name, media_type, kind, bytes }: ListedArtifact): Kind | undefined {
  if (/^image\/(png|jpeg|gif|webp)/.test(media_type)) return bytes <= 20e6 ? 'image' : undefined
  if (/\.(html?|svg|xhtml)$/i.test(name)) return undefined
  if (kind === 'test' || /\.xml$/i.test(name)) return 'junit'
  if (/\.(md|markdown)$/i.test(name)) return 'markdown'
  if (/^(text\/|application\/(json|x-ndjson|yaml))/.test(media_type)) return 'text'
  return /\.(txt|log|ya?ml|json|csv|diff|patch|tap|toml|ini)$/i.test(name) ? 'text' : undefined
}

function Artifact({ run, artifact, from }: { run: string; artifact: ListedArtifact; from: boolean }) {
  const [open, setOpen] = useState(false)
  const kind = kindOf(artifact)
  const Icon = open ? ChevronDown : ChevronRight
  const name = (
    <>
      <bdi className="truncate font-medium">{artifact.name}</bdi>
      {from && (
        <span className="truncate text-meta text-ink2">
          <bdi>{artifact.step}</bdi> on <bdi>{artifact.host}</bdi>
        </span>
      )}
    </>
  )
  return (
    <li>
      <div className="flex min-h-9 items-center gap-3">
        {kind === undefined ? (
          <span className="flex min-w-0 flex-1 items-center gap-2 pl-[21px]">{name}</span>
        ) : (
          <button
            type="button"
            aria-expanded={open}
            className="flex min-h-9 min-w-0 flex-1 items-center gap-2 text-left"
            onClick={() => setOpen(!open)}
          >
            <Icon size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
            {name}
          </button>
        )}
        <span className="shrink-0 text-meta text-ink2" title={`${artifact.bytes} bytes`}>
          {bytesWord(artifact.bytes)}
        </span>
        <span
          className="flex items-center font-mono text-label text-ink3 max-sm:hidden"
          title={artifact.sha256}
        >
          {artifact.sha256.slice(0, 8)}
          <CopyButton text={artifact.sha256} label={`Copy the SHA-256 of ${artifact.name}`} />
        </span>
        <a
          href={address(pathOf(run, artifact.artifact_id))}
          download={artifact.name.slice(artifact.name.lastIndexOf('/') + 1)}
          aria-label={`Download ${artifact.name}`}
          title="Download"
          className="flex size-6 items-center justify-center text-ink2 hover:text-ink max-sm:size-11"
        >
          <Download size={14} strokeWidth={1.75} aria-hidden />
        </a>
        <CopyAsCli
          of={artifact.name}
          actions={[['Download', { do: 'artifact', run, name: artifact.name }]]}
        />
      </div>
      {open && kind === 'image' && (
        <img
          className="mb-3 max-h-96 max-w-full rounded-lg border border-line"
          src={address(pathOf(run, artifact.artifact_id))}
          alt={artifact.name}
        />
      )}
      {open && kind !== undefined && kind !== 'image' && (
        <Content run={run} artifact={artifact} kind={kind} />
      )}
    </li>
  )
}

function Content({ run, artifact, kind }: { run: string; artifact: ListedArtifact; kind: Kind }) {
  const { data: text, error } = useQuery({
    queryKey: ['artifact', run, artifact.artifact_id],
    queryFn: async ({ signal }) => {
      if (artifact.bytes === 0) return ''
      const range = { range: `bytes=0-${Math.min(artifact.bytes, MOST_BYTES) - 1}`, accept: '*/*' }
      const response = await request('GET', pathOf(run, artifact.artifact_id), { headers: range, signal })
      return new TextDecoder().decode(await response.arrayBuffer())
    },
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (text === undefined) return <p className="pb-3 pl-[21px] text-meta text-ink2">{error?.message ?? ''}</p>
  const isWhole = artifact.bytes <= MOST_BYTES
  return (
    <div className="mb-3 ml-[21px]">
      {kind === 'junit' && isWhole ? (
        <Tests text={text} />
      ) : kind === 'markdown' ? (
        <Markdown text={text} />
      ) : (
        <Plain text={text} />
      )}
      {!isWhole && (
        <p className="mt-1 text-meta text-ink2">
          The first {bytesWord(MOST_BYTES)} of {bytesWord(artifact.bytes)}. Download it to read the rest.
        </p>
      )}
    </div>
  )
}

function Plain({ text }: { text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <pre tabIndex={0} className="max-h-96 overflow-auto rounded-lg bg-sunken p-3 font-mono text-meta">
      <bdi>{text}</bdi>
    </pre>
  )
}

/** Shows the counts of a JUnit XML report and the names of failed tests. Other files are shown as text. */
function Tests({ text }: { text: string }) {
  const parsed = new DOMParser().parseFromString(text, 'application/xml')
  const cases = [...parsed.querySelectorAll('testcase')]
  if (cases.length === 0) return <Plain text={text} />
  const has = (one: Element, ...names: string[]) =>
    [...one.children].find(({ localName }) => names.includes(localName))
  const failed = cases.filter((one) => has(one, 'failure', 'error') !== undefined)
  const skipped = cases.filter((one) => has(one, 'skipped') !== undefined).length
  return (
    <div className="rounded-lg bg-sunken p-3 text-meta">
      <p>
        <b className="font-semibold text-ok">{cases.length - failed.length - skipped} passed</b>
        {failed.length > 0 && <b className="ml-3 font-semibold text-bad">{failed.length} failed</b>}
        {skipped > 0 && <span className="ml-3 text-ink2">{skipped} skipped</span>}
      </p>
      <ul>
        {failed.slice(0, 50).map((one, at) => {
          const failure = has(one, 'failure', 'error')!
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: names of tests can be alike
            <li key={at} className="mt-2">
              <bdi className="font-medium">
                {[one.getAttribute('classname'), one.getAttribute('name')].filter(Boolean).join(' › ')}
              </bdi>
              <bdi className="block font-mono break-words whitespace-pre-wrap text-ink2">
                {(failure.getAttribute('message') || failure.textContent || '').slice(0, 2000)}
              </bdi>
            </li>
          )
        })}
      </ul>
      {failed.length > 50 && <p className="mt-2 text-ink2">{failed.length - 50} more</p>}
    </div>
  )
}

/** Shows Markdown as elements of the page: no HTML, and only the text of pictures and links. */
function Markdown({ text }: { text: string }) {
  return (
    <div className="flex max-w-3xl flex-col gap-2 rounded-lg border border-line p-4">
      {blocksOf(text).map((block, at) => {
        const key = at
        if (block.kind === 'code') return <Plain key={key} text={block.text} />
        if (block.kind === 'rule') return <hr key={key} className="border-line" />
        if (block.kind === 'heading')
          return (
            <h3 key={key} className={block.level < 3 ? 'text-page font-semibold' : 'font-semibold'}>
              <Inline text={block.text} />
            </h3>
          )
        if (block.kind === 'table') return <Table key={key} rows={block.rows} />
        if (block.kind === 'list')
          return (
            <ul key={key} className={`pl-5 ${block.ordered ? 'list-decimal' : 'list-disc'}`}>
              {block.items.map((item, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: items have no other name
                <li key={index}>
                  <Inline text={item} />
                </li>
              ))}
            </ul>
          )
        return (
          <p key={key} className="break-words">
            <Inline text={block.text} />
          </p>
        )
      })}
    </div>
  )
}

function Table({ rows: [head = [], ...rows] }: { rows: string[][] }) {
  const cell = 'border border-line px-2 py-1 text-left align-top'
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
    <section className="overflow-x-auto" tabIndex={0} aria-label="Table">
      <table className="text-meta">
        <thead>
          <tr>
            {head.map((text, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: cells have their places
              <th key={at} className={`${cell} bg-sunken font-semibold`}>
                <Inline text={text} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have their places
            <tr key={index}>
              {head.map((_, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: cells have their places
                <td key={at} className={cell}>
                  <Inline text={row[at] ?? ''} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Inline({ text }: { text: string }): ReactNode {
  return (
    <bdi>
      {inlineOf(text).map(({ kind, text: piece }, at) => {
        const key = `${at}`
        if (kind === 'code')
          return (
            <code key={key} className="rounded bg-idle px-1 font-mono text-meta">
              {piece}
            </code>
          )
        if (kind === 'strong') return <strong key={key}>{piece}</strong>
        if (kind === 'em') return <em key={key}>{piece}</em>
        return <span key={key}>{piece}</span>
      })}
    </bdi>
  )
}
