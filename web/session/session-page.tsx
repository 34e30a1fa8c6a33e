import { useQuery } from '@tanstack/react-query'
import { ChevronLeft, Users } from 'lucide-react'
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import type { Budget } from '../../src/contract/agent.ts'
import { wordsOf } from '../data/page-words.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { cancelRun, getWorkflow, type RunDetail, shownStatus } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { giveInput } from '../data/sessions.ts'
import { Link, useHash, useNavigate, useSearch } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { type RowAction, RowMenu } from '../parts/row-menu.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took, Waited } from '../parts/times.tsx'
import { Conversation, type Which } from './conversation.ts'
import { changedFiles } from './file-changes.ts'
import { ModelChoice } from './model-choice.tsx'
import { money, SidePanel, TurnsUsed } from './side-panel.tsx'
import { Talk } from './talk.tsx'

const ShareSheet = lazy(() => import('../parts/share/share-sheet.tsx'))
const SetAsideNotice = lazy(async () => ({
  default: (await import('../parts/set-aside-notice.tsx')).SetAsideNotice,
}))

/** Returns a session that follows the run's feed live. */
function useConversation(feed: RunFeed, owner: string, { step, attempt }: Which): Conversation {
  // biome-ignore lint/correctness/useExhaustiveDependencies: of a new feed it is read anew
  const talk = useMemo(() => new Conversation(owner, { step, attempt }), [feed, owner, step, attempt])
  useSyncExternalStore(feed.watch, () => talk.readOn(feed.events))
  return talk
}

interface Args {
  budget?: Partial<Budget>
  interactive?: boolean
  session?: { fork?: true }
  permissions?: string | { on_ask_timeout?: string }
}

const byItself = ({ permissions }: Args): string =>
  typeof permissions === 'object' && permissions.on_ask_timeout === 'allow' ? 'allowed' : 'denied'

/** Returns the arguments of the step that runs the agent. */
function useAgentArgs(run: string, step: string): Args {
  const { data } = useQuery({
    queryKey: ['workflow', run],
    queryFn: ({ signal }) => getWorkflow(run, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const steps = (data?.workflow as { steps?: { name: string; args?: Args }[] } | undefined)?.steps
  return steps?.find(({ name }) => name === step)?.args ?? {}
}

const agentStep = (run: RunDetail) => run.steps.find(({ action }) => action === 'agent.run')?.step ?? 'agent'
const lastRunner = (run: RunDetail, step: string) =>
  run.steps.find((one) => one.step === step)?.instances[0]?.attempts.at(-1)?.runner

const tones: Record<string, string> = {
  success: 'bg-ok-soft text-ok',
  failed: 'bg-bad-soft text-bad',
  running: 'bg-accent-soft text-accent',
  asks: 'bg-ask-soft text-ask',
  room: 'bg-ask-soft text-ask',
  aside: 'bg-bad-soft text-bad',
  interrupted: 'bg-gone-soft text-gone',
}

/** The page of a run that is a session with an agent. */
export function SessionPage({
  run,
  feed,
  question,
}: {
  run: RunDetail
  feed: RunFeed
  /** The question named in the page's address. */
  question: string | undefined
}) {
  const search = useSearch('/runs/$run')
  const hash = useHash()
  const navigate = useNavigate('/runs/$run')
  const [requested, setRequested] = useState<'end' | 'cancel'>()
  const [sharing, setSharing] = useState(false)
  const { data: me } = useQuery(meQuery)
  const mayChange = me?.role === 'admin' || me?.name === run.owner
  const mayPrompt =
    mayChange ||
    (run.shares?.some(
      ({ user, role, can }) => can === 'take-part' && (user === me?.name || role === me?.role),
    ) ??
      false)
  const step = agentStep(run)
  const talk = useConversation(feed, run.owner, { step })
  const args = useAgentArgs(run.run_id, step)
  const { budget = {}, interactive } = args
  const { rows } = talk
  const files = useMemo(() => changedFiles(rows), [rows])
  const over = run.finished_at !== undefined
  const shown = !over && !run.set_aside && talk.questions.length > 0 ? 'asks' : shownStatus(run)
  const waits = !over && talk.idleUntil !== undefined
  const word = shown === 'asks' ? 'waiting for you' : waits ? 'waiting for a prompt' : statusWord(shown)
  const runner = lastRunner(run, step)
  const chooses = !over && talk.models.length > 0
  const agent = [talk.agent, chooses ? undefined : talk.model].filter((one) => one !== undefined).join(' · ')
  useEffect(() => {
    document.title = `${shown === 'asks' ? '(1) ' : ''}${run.workflow_name} ${word} · Errand`
  }, [run.workflow_name, shown, word])
  const mayEnd = !over && mayChange && interactive === true && talk.idleUntil !== undefined
  const end = (key: string) => giveInput(run.run_id, { close: true, step }, key)
  const cost = talk.usage?.cost_usd
  // On a narrow page these would leave no room for the name.
  const actions: RowAction[] = [
    { word: 'Share…', act: () => setSharing(true) },
    {
      word: 'Steps and log',
      act: () => void navigate({ search: { tab: 'log' } }),
    },
    ...(mayEnd ? [{ word: 'End…', act: () => setRequested('end') }] : []),
    ...(!over && mayChange ? [{ word: 'Cancel…', bad: true, act: () => setRequested('cancel') }] : []),
  ]
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2.5 border-b border-line px-edge max-sm:h-16 max-sm:px-3">
        <Link
          to="/sessions"
          aria-label="Sessions"
          className="-mx-1.5 hidden size-11 items-center justify-center max-sm:flex"
        >
          <ChevronLeft size={22} strokeWidth={1.75} aria-hidden />
        </Link>
        <nav aria-label="Breadcrumb" className="text-ink2 max-sm:hidden">
          <Link to="/sessions" className="hover:text-ink">
            Sessions
          </Link>
          <span className="ml-2.5 text-ink3">/</span>
        </nav>
        <span className="max-sm:hidden">
          <StatusMark shown={shown} size={16} />
        </span>
        <div className="flex min-w-0 items-center gap-2.5 max-sm:flex-1 max-sm:flex-col max-sm:items-start max-sm:gap-0">
          <h1 className="max-w-full truncate text-page font-semibold" title={run.workflow_name}>
            <bdi>{run.workflow_name}</bdi>
          </h1>
          <span className={`chip max-sm:hidden ${tones[shown] ?? ''}`}>{word}</span>
          <span className="flex min-w-0 shrink-[9] items-center sm:min-w-20 gap-3 text-meta text-ink2 max-sm:max-w-full">
            <span className="truncate">
              <bdi>{agent}</bdi>
              {runner !== undefined && (
                <>
                  {agent !== '' && ' · '}
                  <bdi>{runner}</bdi>
                </>
              )}
            </span>
            {chooses && (
              <ModelChoice
                run={run.run_id}
                step={step}
                model={talk.model}
                models={talk.models}
                answers={talk.modelAnswers}
              />
            )}
          </span>
        </div>
        <span className="hidden max-sm:block">
          <StatusMark shown={shown} size={20} />
        </span>
        <Link
          from="/runs/$run"
          search={(was) => ({ ...was, panel: was.panel === undefined ? ('changes' as const) : undefined })}
          className="button button-plain hidden max-lg:ml-auto max-lg:inline-flex max-sm:min-h-11"
        >
          {search.panel === undefined ? 'Changes' : 'Conversation'}
        </Link>
        <div className="ml-auto flex shrink-0 items-center gap-2 max-lg:ml-0 max-sm:hidden">
          <span className="text-meta text-ink2">
            {run.owner} · <Took of={run} />{' '}
            <span className="max-lg:hidden">
              <Waited of={run} />
            </span>
          </span>
          <span className="contents max-lg:hidden">
            <CopyButton text={run.run_id} label="Copy run ID" />
            <Link
              to="/runs/$run"
              params={{ run: run.run_id }}
              search={{ tab: 'log' }}
              className="button button-plain"
            >
              Steps and log
            </Link>
            <button
              type="button"
              className="button button-plain"
              aria-haspopup="dialog"
              onClick={() => setSharing(true)}
            >
              <Users size={14} strokeWidth={1.75} aria-hidden /> Share
              {(run.shares?.length ?? 0) > 0 && <span className="text-ink3">{run.shares?.length}</span>}
            </button>
            {mayEnd && (
              <ActionButton
                doing="Ending…"
                act={end}
                title="Accepts no more prompts. The session can be continued later."
              >
                End
              </ActionButton>
            )}
            {!over && mayChange && (
              <button
                type="button"
                className="button button-quiet-bad"
                onClick={() => setRequested('cancel')}
              >
                Cancel…
              </button>
            )}
          </span>
        </div>
        <span className="hidden max-lg:inline-flex">
          <RowMenu label="More actions for this session" actions={actions} />
        </span>
      </header>
      {run.set_aside !== undefined && (
        <Suspense fallback={null}>
          <SetAsideNotice run={run} />
        </Suspense>
      )}
      {(cost !== undefined || budget.turns !== undefined) && search.panel === undefined && (
        // Shown where the side panel with both figures does not fit beside the conversation.
        <p className="hidden shrink-0 gap-x-3 border-b border-line px-5 py-1.5 text-meta text-ink2 max-lg:flex max-sm:px-4">
          {cost !== undefined && (
            <span>
              {money(cost)}
              {budget.cost_usd !== undefined && ` of ${money(budget.cost_usd)}`}
            </span>
          )}
          <TurnsUsed {...{ talk, budget }} />
        </p>
      )}
      {over && run.status !== 'success' && (
        <p className={`shrink-0 border-b border-line px-edge py-2 text-meta ${tones[run.status] ?? ''}`}>
          <b className="mr-2 font-mono font-semibold">{wordsOf(run.reason ?? run.status)}</b>
          <bdi className="break-words text-ink">{run.message}</bdi>
        </p>
      )}
      <main className="flex min-h-0 flex-1">
        <div className={`flex min-h-0 min-w-0 flex-1 ${search.panel === undefined ? '' : 'max-lg:hidden'}`}>
          <Talk
            {...{ run, talk, over, runner, hash, step, mayPrompt }}
            linked={question}
            byItself={byItself(args)}
            branch={args.session?.fork === true}
            canGoOn
          />
        </div>
        <SidePanel
          {...{ talk, files, budget, mayPrompt }}
          run={run.run_id}
          panel={search.panel}
          against={search.against}
          file={search.file}
          until={run.finished_at}
          choose={(panel, file, against) =>
            void navigate({
              search: (was) => ({ ...was, panel, file, against }),
              replace: true,
            })
          }
        />
      </main>
      {sharing && (
        <Suspense fallback={null}>
          <ShareSheet run={run} link={location.href} close={() => setSharing(false)} />
        </Suspense>
      )}
      {requested === 'end' && (
        <Confirm
          title={`End ${run.workflow_name}?`}
          keep="Keep it open"
          verb="End session"
          doing="Ending…"
          destructive={false}
          act={end}
          close={() => setRequested(undefined)}
        >
          It will accept no more prompts. The session can be continued later.
        </Confirm>
      )}
      {requested === 'cancel' && (
        <Confirm
          title={`Cancel ${run.workflow_name}?`}
          keep="Keep running"
          verb="Cancel run"
          doing="Canceling…"
          act={() => cancelRun(run.run_id)}
          as={{ do: 'cancel', run: run.run_id }}
          close={() => setRequested(undefined)}
        >
          The agent and everything that it started end now. Its changes stay, and the session can be
          continued.
        </Confirm>
      )}
    </>
  )
}

/** Shows the session of one attempt of a step, within the page of its run. */
export function SessionTab({
  run,
  feed,
  step,
  attempt,
  over,
  linked,
}: {
  run: RunDetail
  feed: RunFeed
  step: string
  attempt: number
  over: boolean
  linked: string | undefined
}) {
  const talk = useConversation(feed, run.owner, { attempt })
  const args = useAgentArgs(run.run_id, step)
  const runner = lastRunner(run, step)
  return (
    <Talk {...{ run, talk, over, step, attempt, runner, linked }} byItself={byItself(args)} canGoOn={false} />
  )
}
