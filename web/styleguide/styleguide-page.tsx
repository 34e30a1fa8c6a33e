import { Plus, RotateCcw } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { ApiError } from '../data/api.ts'
import type { Route, Shown } from '../data/runs.ts'
import type { Me } from '../data/session.ts'
import { NoticeBell, NoticeList } from '../notices/notice-list.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { FilterForm } from '../parts/filter-form.tsx'
import { LongText } from '../parts/long-text.tsx'
import { Mark, Wordmark } from '../parts/mark.tsx'
import { RouteLine, routeInWords } from '../parts/route-line.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { ThemeChoice } from '../parts/theme-choice.tsx'
import { Took, Waited, When } from '../parts/times.tsx'
import { showToast, type ToastMessage } from '../parts/toast.ts'
import { SessionParts } from './session-parts.tsx'

const statuses: Shown[] = [
  'queued',
  'running',
  'success',
  'failed',
  'canceled',
  'interrupted',
  'skipped',
  'room',
  'waiting',
  'asks',
  'ahead',
  'aside',
]
const routes: Route[] = [
  { stops: 'a' },
  { stops: 'dddra' },
  { stops: 'ddfkk' },
  { stops: 'ddqaaaaa' },
  { stops: 'dwaicd' },
  { counts: { succeeded: 3120, running: 48, ahead: 1830, failed: 2 } },
  { counts: { succeeded: 12, waiting: 3, asks: 1, interrupted: 1, canceled: 1, skipped: 4 } },
]
const colours = [
  'canvas surface sunken raised hover sel line line2',
  'ink ink2 ink3 btn btn-ink idle',
  'accent accent-soft ok ok-soft bad bad-soft',
  'ask ask-fill ask-soft ask-line gone gone-soft mark',
  'cyan yellow magenta',
].map((names) => names.split(' '))
const refusal = new ApiError(409, {
  error: {
    code: 'conflict',
    message: 'Not approved: bob has rejected it already, 11:53.',
    hint: 'Open the run to see why.',
  },
})
const nobody: Me = { name: 'nobody', role: 'user', tenant: 'parts', csrf: '' }
const messages: ToastMessage[] = [
  { kind: 'done', text: 'Approved. deploy-web continues.', to: '/styleguide' },
  {
    kind: 'failed',
    text: 'Not approved: bob has rejected it already, 11:53.',
    hint: 'Open the run to see why.',
  },
  { kind: 'asks', text: 'deploy-web asks: “Ship 2026.11.4 to eu and us?”', to: '/styleguide' },
  { kind: 'ended', text: 'nightly-db failed at verify-dump: exit code.', to: '/styleguide' },
  { kind: 'ended', text: 'rotate-certificates was interrupted.', to: '/styleguide' },
]
const wait = () => new Promise((resolve) => setTimeout(resolve, 2000))

const waited = {
  started_at: '2026-02-03T04:05:06Z',
  finished_at: '2026-02-03T05:17:09Z',
  waited_ms: 600_000,
}

/** Shows every shared part in every state, for people who change one. Only `npm run page` serves it. */
export function StyleguidePage() {
  const [asking, setAsking] = useState(false)
  const [tab, setTab] = useState('log')
  const [picked, setPicked] = useState('nothing yet')
  const [began] = useState(() => new Date(Date.now() - 65_000).toISOString())
  return (
    <div className="h-dvh overflow-y-auto bg-canvas">
      <main className="mx-auto flex max-w-4xl flex-col gap-4 p-5">
        <h1 className="text-run font-semibold">Parts</h1>
        <Section name="Theme">
          <button
            type="button"
            className="button"
            onClick={() => document.documentElement.classList.toggle('dark')}
          >
            Light or dark
          </button>
        </Section>
        <Section name="Mark">
          <Mark />
          <Wordmark />
          <Wordmark large />
        </Section>
        <Section name="Statuses">
          {statuses.map((shown) => (
            <span key={shown} className="flex items-center gap-2">
              <StatusMark shown={shown} size={24} beside />
              <StatusMark shown={shown} />
              {statusWord(shown)}
            </span>
          ))}
        </Section>
        <Section name="Routes">
          <ul className="flex w-full flex-col gap-2">
            {routes.map((route) => (
              <li key={routeInWords(route)} className="flex flex-wrap items-center gap-4">
                <RouteLine route={route} />
                <span className="text-meta text-ink2">{routeInWords(route)}</span>
              </li>
            ))}
          </ul>
        </Section>
        <Section name="Buttons">
          <ActionButton kind="main" doing="Approving…" act={wait}>
            Approve
          </ActionButton>
          <ActionButton doing="Retrying…" act={wait}>
            <RotateCcw size={14} strokeWidth={1.75} aria-hidden /> Retry failed
          </ActionButton>
          <ActionButton kind="bad" doing="Canceling…" act={wait}>
            Cancel run
          </ActionButton>
          <ActionButton kind="quiet-bad" doing="Canceling…" act={wait}>
            Cancel…
          </ActionButton>
          <ActionButton kind="plain" doing="Adding…" act={wait}>
            <Plus size={14} strokeWidth={1.75} aria-hidden /> Add filter
          </ActionButton>
          <button type="button" className="button" disabled title="The hub does not answer">
            Not yet
          </button>
          <button type="button" className="button">
            Save <kbd className="key">Ctrl+Enter</kbd>
          </button>
          <CopyButton text="run_0123" label="Copy run ID" />
          <CopyButton text="errand runs retry run_0123" label="Copy the command" word="Copy as CLI" />
        </Section>
        <Section name="Refusals">
          <ActionButton
            doing="Approving…"
            act={async () => {
              throw refusal
            }}
          >
            Is refused
          </ActionButton>
          <Failure error={refusal} />
        </Section>
        <Section name="Toasts and the bell">
          {messages.map((one) => (
            <button key={one.text} type="button" className="button" onClick={() => showToast(one)}>
              {one.text.split(/[.:]/)[0]}
            </button>
          ))}
          <NoticeBell me={nobody} className="button" word="" />
          <NoticeList me={nobody} />
        </Section>
        <Section name="A session">
          <SessionParts />
        </Section>
        <Section name="Fields, chips and keys">
          <input className="field" aria-label="A field" placeholder="Filter" />
          <input className="field" aria-label="A full field" defaultValue="nightly-build" />
          <span className="chip">plain</span>
          <span className="chip font-mono">region=eu</span>
          <span className="chip bg-ok-soft text-ok">success</span>
          <span className="chip bg-bad-soft text-bad">failed</span>
          <span className="chip bg-accent-soft text-accent">running</span>
          <span className="chip bg-ask-soft text-ask">waiting for a person</span>
          <span className="chip bg-gone-soft text-gone">interrupted</span>
          <kbd className="key">n</kbd>
        </Section>
        <Section name="Choices">
          <select className="field" aria-label="A choice">
            <option>running</option>
            <option>failed</option>
          </select>
          <select
            className="h-7 rounded-md border border-dashed border-line2 bg-surface px-2 text-meta text-ink2 max-sm:h-11 dark:bg-raised"
            aria-label="A filter that is not set"
          >
            <option>Status</option>
          </select>
          <label className="flex items-center gap-2">
            <input type="checkbox" className="size-4 accent-accent" defaultChecked /> your failed runs
          </label>
          <ThemeChoice className="w-60" />
          <RowMenu
            label="More for runner-1"
            actions={[
              { word: 'Drain', act: () => setPicked('Drain') },
              { word: 'Remove…', bad: true, act: () => setPicked('Remove') },
            ]}
          />
          <span className="text-meta text-ink2">chosen: {picked}</span>
        </Section>
        <Section name="Tabs">
          <div role="tablist" aria-label="Tabs" className="flex max-w-full overflow-x-auto">
            {['log', 'inputs', 'outputs', 'events'].map((one) => (
              <button
                key={one}
                type="button"
                role="tab"
                aria-selected={tab === one}
                className="tab capitalize"
                onClick={() => setTab(one)}
              >
                {one}
              </button>
            ))}
          </div>
        </Section>
        <Section name="A choice of a few words">
          <div className="segments">
            {['Graph', 'List', 'Timeline'].map((one, at) => (
              <button key={one} type="button" aria-pressed={at === 0} className="segment">
                {one}
              </button>
            ))}
          </div>
        </Section>
        <Section name="Filter">
          <FilterForm label="A filter in words" placeholder="status:failed text…" submit={setPicked} />
        </Section>
        <Section name="Long texts">
          <LongText text="A short text is shown in full." />
          <LongText text={Array.from({ length: 40 }, (_, at) => `line ${at + 1}`).join('\n')} />
        </Section>
        <Section name="Times">
          <When time={began} />
          <When time="2026-02-03T04:05:06Z" />
          <Took of={{ started_at: began }} />
          <Took of={waited} />
          <Waited of={waited} />
          <Took of={{}} />
        </Section>
        <Section name="Confirmation">
          <button type="button" className="button" onClick={() => setAsking(true)}>
            Cancel reindex-search…
          </button>
        </Section>
        <Section name="Type">
          <p className="text-empty font-semibold">Empty page, 22</p>
          <p className="text-run font-semibold">Title of a run, 18</p>
          <p className="text-page font-semibold">Page, 15</p>
          <p>Text, 13</p>
          <p className="text-meta text-ink2">Second, 12</p>
          <p className="text-label text-ink3">Label, 11</p>
          <p className="font-mono text-meta">mono 0O 1lI</p>
        </Section>
        <Section name="Colours">
          {colours.map((names) => (
            <ul key={names[0]} className="flex w-full flex-wrap gap-3">
              {names.map((name) => (
                <li key={name} className="flex items-center gap-1.5 text-label text-ink2">
                  <svg width="20" height="20" aria-hidden="true">
                    <rect width="20" height="20" rx="5" fill={`var(--${name})`} stroke="var(--line2)" />
                  </svg>
                  {name}
                </li>
              ))}
            </ul>
          ))}
        </Section>
      </main>
      {asking && (
        <Confirm
          title="Cancel reindex-search?"
          keep="Keep running"
          verb="Cancel run"
          doing="Canceling…"
          act={wait}
          close={() => setAsking(false)}
        >
          This ends 48 instances now (10 s to finish, then killed). 3,120 are done and stay. 1,830 never
          start. The rollback does not run.
        </Confirm>
      )}
    </div>
  )
}

function Section({ name, children }: { name: string; children: ReactNode }) {
  return (
    <section aria-label={name} className="rounded-xl border border-line bg-surface p-4">
      <h2 className="mb-3 text-label text-ink3">{name}</h2>
      <div className="flex flex-wrap items-center gap-3">{children}</div>
    </section>
  )
}
