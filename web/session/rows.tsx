import { ChevronRight, FilePlus2, Globe, ListChecks, Search, SquareTerminal, Wrench } from 'lucide-react'
import { memo, type ReactNode, useState } from 'react'
import type { FileDiff } from '../../src/contract/agent.ts'
import { duration, exactTime, timeOf, useNow } from '../data/clock.ts'
import type { Shown as Mark } from '../data/runs.ts'
import { OrPlain } from '../parts/or-plain.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { When } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import { Attachments } from './attachments.tsx'
import type { RowOf, Shown } from './conversation.ts'
import { type Count, diffLines, sumOf } from './file-changes.ts'
import { Markdown } from './markdown.tsx'
import { argumentsOf, commandOf } from './tool-input.ts'

const kinds: Record<string, { word: string; Icon: typeof Wrench }> = {
  edit: { word: 'Edit', Icon: FilePlus2 },
  delete: { word: 'Delete', Icon: FilePlus2 },
  move: { word: 'Move', Icon: FilePlus2 },
  read: { word: 'Read', Icon: Search },
  search: { word: 'Search', Icon: Search },
  execute: { word: 'Run', Icon: SquareTerminal },
  fetch: { word: 'Fetch', Icon: Globe },
}
const marks: Record<string, Mark> = {
  pending: 'running',
  running: 'running',
  completed: 'success',
  passed: 'success',
  failed: 'failed',
  denied: 'canceled',
}
const MOST_OUTPUT = 4000

export const ChatRow = memo(function ChatRow({ row }: { row: Shown }) {
  return (
    <OrPlain text={'text' in row ? row.text : JSON.stringify(row).slice(0, MOST_OUTPUT)}>
      <Drawn row={row} />
    </OrPlain>
  )
})

function Drawn({ row }: { row: Shown }): ReactNode {
  switch (row.kind) {
    case 'prompt':
      return <Prompt row={row} />
    case 'message':
      return <Markdown text={row.text} />
    case 'thought':
      return <Thought row={row} />
    case 'tool':
      return <ToolCall row={row} />
    case 'group':
      return <Group rows={row.rows} />
    case 'verify':
      return <Verify row={row} />
    case 'note':
      return (
        <p
          className={`text-meta break-words whitespace-pre-wrap ${row.tone === 'bad' ? 'text-bad' : row.tone === 'warning' ? 'text-ask' : 'text-ink2'}`}
        >
          <bdi>
            <VisibleText text={row.text} />
          </bdi>
        </p>
      )
    case 'answered':
      return (
        <p className="flex items-baseline gap-1.5 text-meta text-ink2">
          <span className={`font-medium ${row.decision === 'allow' ? 'text-ok' : 'text-bad'}`}>
            {row.decision === 'allow' ? 'Allowed' : 'Denied'}
          </span>
          <span className="min-w-0 break-words">
            by <b className="font-medium text-ink">{row.by}</b>, <When time={row.time} />:{' '}
            <bdi className="font-mono">
              <VisibleText text={row.title.slice(0, 200)} />
            </bdi>
            {row.input !== undefined && (
              <>
                {' '}
                as edited:{' '}
                <bdi className="font-mono text-ink">
                  <VisibleText text={(commandOf(row.input) ?? row.input).slice(0, 2000)} />
                </bdi>
              </>
            )}
            {row.reason !== undefined && (
              <>
                {' '}
                “<bdi>{row.reason}</bdi>”
              </>
            )}
          </span>
        </p>
      )
  }
}

function Prompt({ row }: { row: RowOf<'prompt'> }) {
  const now = useNow()
  return (
    <div id={`turn:${row.turn}`} className="flex flex-col gap-3 pt-1">
      <div className="flex items-center gap-3 text-label text-ink3 before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
        <time dateTime={row.time} title={exactTime(row.time)}>
          turn {row.turn} · {timeOf(row.time, now)}
        </time>
      </div>
      <div className="ml-auto max-w-[84%] rounded-xl bg-idle px-3.5 py-2.5 max-sm:max-w-[92%]">
        <p className="text-label text-ink2">{row.by ?? 'Errand'}</p>
        <Cut text={row.text} most={3000} plain className="break-words whitespace-pre-wrap" />
        {row.attachments.length > 0 && <Attachments attachments={row.attachments} />}
      </div>
    </div>
  )
}

interface CutProps {
  text: string
  most: number
  className: string
  /** A person's own text, in which invisible characters are normal and not marked. */
  plain?: boolean
}

/** Shows a text; the end of a long one appears on demand. */
function Cut({ text, most, className, plain = false }: CutProps) {
  const [whole, setWhole] = useState(false)
  const cut = !whole && text.length > most
  const shown = cut ? text.slice(0, most) : text
  return (
    <div className={className}>
      <bdi>{plain ? shown : <VisibleText text={shown} />}</bdi>
      {cut && (
        <button
          type="button"
          className="block font-sans text-meta text-accent hover:underline"
          onClick={() => setWhole(true)}
        >
          Show all {text.length.toLocaleString('en')} characters
        </button>
      )}
    </div>
  )
}

function Thought({ row }: { row: RowOf<'thought'> }) {
  const [open, setOpen] = useState(false)
  const took = Date.parse(row.until) - Date.parse(row.time)
  return (
    <div className="text-ink2">
      <button
        type="button"
        aria-expanded={open}
        className="flex min-h-6 w-full items-center gap-1.5 text-left text-meta hover:text-ink max-sm:min-h-11"
        onClick={() => setOpen(!open)}
      >
        <ChevronRight
          size={14}
          strokeWidth={1.75}
          aria-hidden
          className={`shrink-0 ${open ? 'rotate-90' : ''}`}
        />
        <span className="shrink-0">Thought{took >= 1000 ? ` for ${duration(took)}` : ''}</span>
        {!open && (
          <bdi className="min-w-0 truncate text-ink3">
            <VisibleText text={row.text.trim().split('\n')[0]!.slice(0, 200)} />
          </bdi>
        )}
      </button>
      {open && (
        <div className="mt-1 border-l border-line2 pl-4 break-words whitespace-pre-wrap">
          <bdi>
            <VisibleText text={row.text.trim()} />
          </bdi>
        </div>
      )}
    </div>
  )
}

export function Counted({ added, removed }: Count) {
  return (
    <span className="font-mono text-label whitespace-nowrap">
      <span className="text-ok">+{added}</span> <span className="text-bad">−{removed}</span>
    </span>
  )
}

interface FoldProps {
  Icon: typeof Wrench
  word: string
  what: string
  status: string
  said?: ReactNode
  /** Open until somebody folds it. */
  opened?: boolean
  children?: ReactNode
}

/** A line that unfolds. */
function Fold({ Icon, word, what, status, said, opened = false, children }: FoldProps) {
  const [chosen, setChosen] = useState<boolean>()
  const open = chosen ?? opened
  return (
    <div className="overflow-clip rounded-lg border border-line">
      <button
        type="button"
        aria-expanded={open}
        className="flex min-h-8 w-full items-center gap-2.5 bg-sunken px-3 py-1 text-left hover:bg-hover max-sm:min-h-11"
        onClick={() => setChosen(!open)}
      >
        <Icon size={14} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink2" />
        <span className="shrink-0 font-medium">{word}</span>
        <bdi className="min-w-0 flex-1 truncate font-mono text-meta text-ink2">
          <VisibleText text={what.split('\n')[0]!.slice(0, 300)} />
        </bdi>
        {said}
        <StatusMark shown={marks[status] ?? 'running'} size={14} />
        <ChevronRight
          size={14}
          strokeWidth={1.75}
          aria-hidden
          className={`shrink-0 text-ink3 ${open ? 'rotate-90' : ''}`}
        />
      </button>
      {open && children}
    </div>
  )
}

/** Removes a leading verb from a title, since the row shows one already. */
const withoutVerb = (title: string): string =>
  title.replace(/^(?:Edit|Write|Create|Update|Delete|Move|Read|Search|Run|Fetch) /, '')

function ToolCall({ row }: { row: RowOf<'tool'> }) {
  const { word, Icon } = kinds[row.toolKind ?? ''] ?? { word: 'Use', Icon: Wrench }
  const command = commandOf(row.input)
  const what = command ?? withoutVerb(row.title ?? row.paths[0] ?? 'a tool')
  const count = sumOf(row.diffs)
  const took = Date.parse(row.until) - Date.parse(row.time)
  const small = row.diffs.length > 0 && count.added + count.removed <= 20
  const words = command === undefined && row.diffs.length === 0 ? argumentsOf(row.input) : []
  return (
    <Fold
      {...{ Icon, word, what, status: row.status, opened: small }}
      said={
        row.diffs.length > 0 ? (
          <Counted {...count} />
        ) : row.status === 'denied' ? (
          <span className="text-label text-ink2">denied</span>
        ) : (
          took >= 1000 && <span className="font-mono text-label text-ink2">{duration(took)}</span>
        )
      }
    >
      {command !== undefined && <Block text={`$ ${command}`} />}
      {words.map(([name, text]) => (
        <Block key={name} name={name} text={text} />
      ))}
      {row.diffs.map((diff) => (
        <DiffView key={diff.path} diff={diff} named={row.diffs.length > 1} />
      ))}
      {row.output !== undefined &&
        row.output.trim() !== '' &&
        (row.diffs.length === 0 || row.status !== 'completed') && <Block text={row.output.trimEnd()} />}
      {row.input === undefined && row.output === undefined && row.diffs.length === 0 && (
        <p className="border-t border-line px-3 py-2 text-meta text-ink2">The agent reported no details.</p>
      )}
    </Fold>
  )
}

function Block({ text, name }: { text: string; name?: string }) {
  return (
    <div className="border-t border-line px-3 py-2">
      {name !== undefined && name !== '' && (
        <p className="text-label text-ink3">
          <bdi>{name}</bdi>
        </p>
      )}
      <Cut text={text} most={MOST_OUTPUT} className="font-mono text-meta break-words whitespace-pre-wrap" />
    </div>
  )
}

function Group({ rows }: { rows: readonly RowOf<'tool'>[] }) {
  const files = new Set(rows.flatMap(({ diffs }) => diffs.map(({ path }) => path))).size
  return (
    <Fold
      Icon={Wrench}
      word={`${rows.length} steps`}
      what={files === 0 ? '' : `${files} ${files === 1 ? 'file' : 'files'} changed`}
      status="completed"
    >
      <div className="flex flex-col gap-1.5 border-t border-line p-2">
        {rows.slice(-100).map((row) => (
          <ToolCall key={row.key} row={row} />
        ))}
      </div>
    </Fold>
  )
}

function Verify({ row }: { row: RowOf<'verify'> }) {
  const took = Date.parse(row.until) - Date.parse(row.time)
  // A command that begins with a comment is known by that comment.
  const what = /^# (.+)\n/.exec(row.command)?.[1] ?? row.command
  return (
    <Fold
      {...{ Icon: ListChecks, word: 'Verify', what, status: row.status }}
      opened={row.status === 'failed'}
      said={
        row.status !== 'running' && <span className="font-mono text-label text-ink2">{duration(took)}</span>
      }
    >
      <Block text={`$ ${row.command}`} />
      {row.output !== undefined && row.output.trim() !== '' && <Block text={row.output.trimEnd()} />}
    </Fold>
  )
}

const MOST_LINES = 400
const signs = { '+': 'bg-ok-soft', '-': 'bg-bad-soft', ' ': '', '@': 'bg-sunken text-ink3' }

/** Shows a change of one file line by line, with line numbers if known. */
export function DiffView({ diff, named }: { diff: FileDiff; named: boolean }) {
  const lines = diffLines(diff)
  return (
    <div className="border-t border-line">
      {named && (
        <p className="border-b border-line px-3 py-1 font-mono text-meta break-all">
          <bdi>{diff.path}</bdi>
        </p>
      )}
      <section
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        aria-label={`Changes to ${diff.path}`}
        className="overflow-x-auto font-mono text-meta"
      >
        <div className="w-max min-w-full">
          {lines.slice(0, MOST_LINES).map((line, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have their places
            <div key={at} className={`flex pr-3 whitespace-pre ${signs[line.sign]}`}>
              <span className="w-10 shrink-0 pr-2 text-right text-ink3 select-none">{line.old}</span>
              <span className="w-10 shrink-0 pr-2 text-right text-ink3 select-none">{line.new}</span>
              <span
                className={`w-5 shrink-0 ${line.sign === '+' ? 'text-ok' : line.sign === '-' ? 'text-bad' : ''}`}
              >
                {line.sign === '-' ? '−' : line.sign === '@' ? '' : line.sign}
              </span>
              <bdi>
                <VisibleText text={line.text.slice(0, 2000)} />
              </bdi>
            </div>
          ))}
        </div>
      </section>
      {lines.length > MOST_LINES && (
        <p className="px-3 py-1 text-meta text-ink2">
          {lines.length - MOST_LINES} more {lines.length - MOST_LINES === 1 ? 'line' : 'lines'}
        </p>
      )}
    </div>
  )
}
