import { useQuery } from '@tanstack/react-query'
import { Play } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import type { Attachment } from '../../src/contract/agent.ts'
import type { AgentRequestInput, AgentsHealth } from '../../src/contract/agent-api.ts'
import { ApiError, ask, newKey } from '../data/api.ts'
import { asCommand } from '../data/as-command.ts'
import { getWorkflow, type Run } from '../data/runs.ts'
import { keepAttached } from '../data/sessions.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { ChoiceField, TextField } from '../parts/field.tsx'
import {
  AttachButton,
  type Attached,
  AttachedChips,
  filesOf,
  useAttachments,
} from '../session/attachments.tsx'
import { FromEarlier } from './from-earlier.tsx'
import { NewHead } from './kind-tabs.tsx'
import { keepForm, storedForm } from './new-drafts.ts'

const none = {
  agent: '',
  prompt: '',
  model: '',
  repo: '',
  ref: '',
  permissions: 'ask',
  isolation: '',
  cost: '',
}
type Form = typeof none

/** The values of a session to start again. */
interface Before {
  form: Form
  files: readonly Attached[]
}

/** Returns a text of a stored workflow as it was entered. */
const text = (value: unknown): string => (typeof value === 'string' ? value.replaceAll('$${', '${') : '')

/** Returns the values that an earlier session was started with, without its secrets. */
async function sessionOf(run: string, signal: AbortSignal): Promise<Before> {
  const { workflow } = await getWorkflow(run, signal)
  const { steps = [], isolation } = workflow as {
    steps?: { action: string; args: Record<string, unknown> }[]
    isolation?: unknown
  }
  const agentArgs = steps.find(({ action }) => action === 'agent.run')?.args
  if (agentArgs === undefined)
    throw new ApiError(404, {
      error: {
        code: 'not_found',
        message: `${run} did not use an agent.`,
        hint: 'To run a workflow again, open /new?from=RUN.',
      },
    })
  const checkout = steps.find(({ action }) => action === 'git.workspace')?.args
  const { cost_usd } = (agentArgs.budget ?? {}) as { cost_usd?: number }
  const form = {
    agent: text(agentArgs.agent),
    prompt: text(agentArgs.prompt),
    model: text(agentArgs.model),
    repo: text(checkout?.repo),
    ref: text(checkout?.ref),
    permissions: text(agentArgs.permissions) || 'ask',
    isolation: text(isolation) === 'none' ? '' : text(isolation),
    cost: cost_usd === undefined ? '' : String(cost_usd),
  }
  const attachments = (agentArgs.attachments ?? []) as Attachment[]
  return { form, files: attachments.map(({ id, name, media_type }) => ({ key: id, id, name, media_type })) }
}

/** Starts a session with an agent: who, what and where; the address's `from` fills in the values of an earlier one. */
export function NewSession() {
  const { from } = useSearch('/new')
  return (
    <FromEarlier title="New session" kind="agent" from={from} read={sessionOf}>
      {(first) => <SessionForm key={from ?? ''} from={from} first={first} />}
    </FromEarlier>
  )
}

function SessionForm({ from, first }: { from: string | undefined; first: Before | undefined }) {
  const navigate = useNavigate()
  const draft = from === undefined ? 'session' : `session.${from}`
  const { data } = useQuery({
    queryKey: ['agents'],
    queryFn: ({ signal }) => ask<AgentsHealth>('GET', '/health/agents', { signal }),
  })
  const agents = Object.values(data?.agents ?? {})
    .filter(({ name }) => name !== 'acp')
    .sort((a, b) => Number(b.usable) - Number(a.usable))
  const [form, setForm] = useState<Form>(() => first?.form ?? storedForm(draft, none))
  const { files, add, remove, ids } = useAttachments(draft, first?.files)
  const { prompt, model, repo, ref, permissions, isolation, cost } = form
  const [busy, setBusy] = useState(false)
  const [drops, setDrops] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ body: string; key: string }>(undefined)
  const agent = form.agent || agents.find(({ usable }) => usable)?.name
  useEffect(() => {
    document.title = 'New session · Errand'
  }, [])
  useEffect(() => {
    if (from === undefined) keepForm(draft, form)
  }, [from, draft, form])
  const set = (change: Partial<Form>) => setForm((was) => ({ ...was, ...change }))
  const badCost = cost.trim() !== '' && !(Number(cost) > 0)

  const needs =
    prompt.trim() === ''
      ? 'Enter a prompt'
      : files.some(({ failure }) => failure !== undefined)
        ? 'Remove the file that was refused'
        : ids === undefined
          ? 'A file is still uploading'
          : undefined
  const ready = !busy && needs === undefined && agent !== undefined && !badCost

  const start = async () => {
    if (!ready || ids === undefined) return
    const request: AgentRequestInput = {
      ...{ agent, prompt, permissions: permissions as 'ask', interactive: true },
      ...(model.trim() === '' ? {} : { model: model.trim() }),
      ...(repo.trim() === ''
        ? {}
        : { workspace: { repo: repo.trim(), ...(ref.trim() === '' ? {} : { ref: ref.trim() }) } }),
      ...(isolation === '' ? {} : { isolation: isolation as 'none' }),
      ...(ids.length === 0 ? {} : { attachments: ids }),
      ...(cost.trim() === '' ? {} : { budget: { cost_usd: Number(cost) } }),
    }
    setBusy(true)
    setFailure(undefined)
    const body = JSON.stringify(request)
    if (key.current?.body !== body) key.current = { body, key: newKey() }
    try {
      const { run_id } = await ask<Run>('POST', '/api/runs', {
        body: { agent: request },
        idempotencyKey: key.current.key,
      })
      if (from === undefined) {
        keepForm(draft, undefined)
        keepAttached(draft, [])
      }
      await navigate({ to: '/runs/$run', params: { run: run_id }, search: {} })
    } catch (error) {
      const refused =
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } })
      if (refused.status !== 0) key.current = undefined
      setFailure(refused)
      setBusy(false)
    }
  }
  const take = (event: { preventDefault: () => void }, data: DataTransfer) => {
    const dropped = filesOf(data)
    if (dropped.length === 0) return
    event.preventDefault()
    add(dropped)
  }
  const chosen = agents.find(({ name }) => name === agent)
  const attach = files.map(({ name }) => name)
  const values = { attach, agent, model: model.trim(), repo: repo.trim(), ref: ref.trim() }
  return (
    <>
      <NewHead title="New session" kind="agent">
        <CopyButton
          text={asCommand({ do: 'ask', prompt, permissions, ...values })!}
          label="Copy as CLI"
          word="Copy as CLI"
        />
        <button
          type="button"
          className="button button-main"
          aria-disabled={!ready}
          title={needs}
          onClick={start}
        >
          {busy ? (
            'Starting…'
          ) : (
            <>
              <Play size={13} strokeWidth={1.75} aria-hidden /> Start
              <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
            </>
          )}
        </button>
      </NewHead>
      <main className="min-h-0 flex-1 overflow-y-auto">
        <form
          className="mx-auto grid max-w-[780px] grid-cols-2 gap-4 px-6 py-6 max-sm:grid-cols-1 max-sm:px-4"
          onSubmit={(event) => {
            event.preventDefault()
            void start()
          }}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || !(event.metaKey || event.ctrlKey)) return
            event.preventDefault()
            void start()
          }}
        >
          {/* biome-ignore lint/a11y/noStaticElementInteractions: the button below the field does the same */}
          <div
            className={`col-span-full flex flex-col gap-2 rounded-lg outline-offset-4 ${drops ? 'outline-2 outline-accent' : ''}`}
            onDragOver={(event) => {
              if (!event.dataTransfer.types.includes('Files')) return
              event.preventDefault()
              setDrops(true)
            }}
            onDragLeave={() => setDrops(false)}
            onDrop={(event) => {
              setDrops(false)
              take(event, event.dataTransfer)
            }}
            onPaste={(event) => take(event, event.clipboardData)}
          >
            <TextField label="Prompt" rows={8} value={prompt} change={(prompt) => set({ prompt })} />
            <div className="flex items-start gap-2">
              <AttachButton add={add} />
              <div className="min-w-0 flex-1 self-center">
                {files.length === 0 ? (
                  <span className="text-meta text-ink2">You can attach files and images</span>
                ) : (
                  <AttachedChips files={files} remove={remove} />
                )}
              </div>
            </div>
          </div>
          <ChoiceField
            label="Agent"
            note={chosen?.why}
            value={agent ?? ''}
            change={(agent) => set({ agent })}
            options={[
              ...(chosen === undefined ? [{ value: agent ?? '', word: agent ?? 'no usable agent' }] : []),
              ...agents.map(({ name, title, usable }) => ({
                value: name,
                word: usable ? title : `${title} (not usable)`,
                disabled: !usable,
              })),
            ]}
          />
          <TextField
            label="Model"
            note="If empty, the agent's default"
            value={model}
            change={(model) => set({ model })}
          />
          <TextField
            label="Repository"
            note="The session gets its own checkout. Without a repository, its workspace is empty."
            placeholder="https://github.com/o/r"
            mono
            value={repo}
            change={(repo) => set({ repo })}
          />
          <TextField
            label="Branch, tag or commit"
            note="Where the session starts"
            mono
            value={ref}
            change={(ref) => set({ ref })}
          />
          <ChoiceField
            label="Permissions"
            note="Whether the agent may use tools that change something"
            value={permissions}
            change={(permissions) => set({ permissions })}
            options={[
              { value: 'ask', word: 'ask a person' },
              { value: 'allow', word: 'allow' },
              { value: 'deny', word: 'deny' },
            ]}
          />
          <ChoiceField
            label="Isolation"
            note="Minimum isolation from the machine"
            value={isolation}
            change={(isolation) => set({ isolation })}
            options={[
              { value: '', word: "the runner's default" },
              { value: 'sandbox', word: 'sandbox' },
              { value: 'container', word: 'container' },
            ]}
          />
          <TextField
            label="Budget (USD)"
            note="The session stops when it has cost this much"
            error={badCost ? 'must be a number above 0, such as 2.00' : undefined}
            placeholder="2.00"
            value={cost}
            change={(cost) => set({ cost })}
          />
          {failure !== undefined && (
            <div className="col-span-full">
              <Failure error={failure} />
            </div>
          )}
        </form>
      </main>
    </>
  )
}
