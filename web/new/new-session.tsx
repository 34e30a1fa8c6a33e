import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { AgentRequestInput, AgentsHealth } from '../../src/contract/agent-api.ts'
import { ApiError, ask, newKey } from '../data/api.ts'
import type { Run } from '../data/runs.ts'
import { keepPrompt, keptPrompt } from '../data/sessions.ts'
import { Failure } from '../parts/action-button.tsx'

type Permissions = 'ask' | 'allow' | 'deny'
/** The prompt that is not sent yet is kept as one of no run. */
const DRAFT = 'new'

/** Begins a session with an agent: who, what, and where. */
export function NewSession() {
  const navigate = useNavigate()
  const { data } = useQuery({
    queryKey: ['agents'],
    queryFn: ({ signal }) => ask<AgentsHealth>('GET', '/health/agents', { signal }),
  })
  const agents = Object.values(data?.agents ?? {})
    .filter(({ name }) => name !== 'acp')
    .sort((a, b) => Number(b.usable) - Number(a.usable))
  const [chosen, setChosen] = useState<string>()
  const [prompt, setPrompt] = useState(() => keptPrompt(DRAFT))
  const [model, setModel] = useState('')
  const [repo, setRepo] = useState('')
  const [ref, setRef] = useState('')
  const [permissions, setPermissions] = useState<Permissions>('ask')
  const [isolation, setIsolation] = useState('')
  const [cost, setCost] = useState('')
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ body: string; key: string }>(undefined)
  const agent = chosen ?? agents.find(({ usable }) => usable)?.name
  useEffect(() => {
    document.title = 'New session · Errand'
  }, [])
  useEffect(() => keepPrompt(DRAFT, prompt), [prompt])

  const start = async () => {
    if (busy || prompt.trim() === '' || agent === undefined) return
    const costUsd = Number(cost)
    const asked: AgentRequestInput = {
      ...{ agent, prompt, permissions, interactive: true },
      ...(model.trim() === '' ? {} : { model: model.trim() }),
      ...(repo.trim() === ''
        ? {}
        : { workspace: { repo: repo.trim(), ...(ref.trim() === '' ? {} : { ref: ref.trim() }) } }),
      ...(isolation === '' ? {} : { isolation: isolation as 'none' }),
      ...(costUsd > 0 ? { budget: { cost_usd: costUsd } } : {}),
    }
    setBusy(true)
    setFailure(undefined)
    const body = JSON.stringify(asked)
    if (key.current?.body !== body) key.current = { body, key: newKey() }
    try {
      const { run_id } = await ask<Run>('POST', '/api/runs', {
        body: { agent: asked },
        idempotencyKey: key.current.key,
      })
      keepPrompt(DRAFT, '')
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
  const why = agents.find(({ name }) => name === agent)?.why
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-5 max-sm:h-14">
        <h1 className="text-page font-semibold">New session</h1>
        <Link to="/new" className="button button-plain ml-auto">
          A workflow instead
        </Link>
        <button
          type="button"
          className="button button-main"
          aria-disabled={busy || prompt.trim() === '' || agent === undefined}
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
      </header>
      <main className="min-h-0 flex-1 overflow-y-auto">
        <form
          className="mx-auto grid max-w-[780px] grid-cols-2 gap-4 px-6 py-6 max-sm:grid-cols-1 max-sm:px-4"
          onSubmit={(event) => {
            event.preventDefault()
            void start()
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void start()
          }}
        >
          <label className="col-span-full flex flex-col gap-1.5">
            <span className="font-medium">What the agent is to do</span>
            <textarea
              rows={8}
              className="field h-auto resize-y py-2 leading-5"
              value={prompt}
              onChange={({ target }) => setPrompt(target.value)}
            />
          </label>
          <Field name="Agent" note={why}>
            <select className="field" value={agent ?? ''} onChange={({ target }) => setChosen(target.value)}>
              {agent === undefined && <option value="">none is usable</option>}
              {agents.map(({ name, title, usable }) => (
                <option key={name} value={name} disabled={!usable}>
                  {title}
                  {usable ? '' : ' (not usable)'}
                </option>
              ))}
            </select>
          </Field>
          <Field name="Model" note="The agent's own, where none is given">
            <Text value={model} change={setModel} />
          </Field>
          <Field name="Repository" note="A checkout of its own is made; without one the workspace is empty">
            <Text value={repo} change={setRepo} placeholder="https://github.com/o/r" />
          </Field>
          <Field name="Branch, tag or commit" note="Where it begins">
            <Text value={ref} change={setRef} />
          </Field>
          <Field name="Tools that change something" note="Who decides whether it may use them">
            <select
              className="field"
              value={permissions}
              onChange={({ target }) => setPermissions(target.value as Permissions)}
            >
              <option value="ask">ask a person</option>
              <option value="allow">allow</option>
              <option value="deny">deny</option>
            </select>
          </Field>
          <Field name="Isolation" note="The least that stands between it and the machine">
            <select className="field" value={isolation} onChange={({ target }) => setIsolation(target.value)}>
              <option value="">as the runner does</option>
              <option value="sandbox">sandbox</option>
              <option value="container">container</option>
            </select>
          </Field>
          <Field name="Most cost, in US dollars" note="It is stopped there">
            <Text value={cost} change={setCost} placeholder="2.00" />
          </Field>
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

function Field({ name, note, children }: { name: string; note?: string | undefined; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is its child
    <label className="flex flex-col gap-1.5">
      <span className="font-medium">{name}</span>
      {children}
      {note !== undefined && <span className="text-meta text-ink2">{note}</span>}
    </label>
  )
}

interface TextProps {
  value: string
  change: (text: string) => void
  placeholder?: string
}

function Text({ value, change, placeholder }: TextProps) {
  return (
    <input
      className="field"
      value={value}
      placeholder={placeholder}
      spellCheck={false}
      autoCapitalize="none"
      onChange={({ target }) => change(target.value)}
    />
  )
}
