import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { GitPullRequest, Plus, X } from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { CreateTasksInput } from '../../src/contract/tasks/task-api.ts'
import { type ApiError, newKey } from '../data/api.ts'
import { createTasks } from '../data/tasks.ts'
import { Failure } from '../parts/action-button.tsx'

const KEY = 'errand.draft.task'

interface Draft {
  from: 'issue' | 'words'
  issue: string
  repo: string
  ref: string
  title: string
  description: string
  criteria: string[]
  tests: string
  agent: string
  model: string
  instructions: string
  plan: boolean
  pull: boolean
}

const none: Draft = {
  from: 'issue',
  issue: '',
  repo: '',
  ref: '',
  title: '',
  description: '',
  criteria: [''],
  tests: '',
  agent: 'builtin',
  model: '',
  instructions: '',
  plan: false,
  pull: true,
}

function keptDraft(): Draft {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? 'null') as Partial<Draft> | null
    return { ...none, ...kept }
  } catch {
    return none
  }
}

function keepDraft(draft: Draft | undefined): void {
  try {
    if (draft === undefined) localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, JSON.stringify(draft))
  } catch {
    // It lives as long as the page.
  }
}

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/** The request of a draft: fields that are empty are left out. */
function requestOf(draft: Draft): CreateTasksInput {
  const criteria = draft.criteria.map((one) => one.trim()).filter((one) => one !== '')
  const tests = linesOf(draft.tests)
  const shared = {
    agent: draft.agent.trim() || undefined,
    model: draft.model.trim() || undefined,
    ref: draft.ref.trim() || undefined,
    instructions: draft.instructions.trim() || undefined,
    acceptance_criteria: criteria.length > 0 ? criteria : undefined,
    test_commands: tests.length > 0 ? tests : undefined,
    plan: draft.plan || undefined,
    pull_request: draft.pull ? undefined : false,
  }
  if (draft.from === 'issue') return { issue: draft.issue.trim(), defaults: shared }
  const { title, description, repo } = draft
  return { task: { ...shared, title: title.trim(), description, repo_url: repo.trim() } }
}

const agents = ['builtin', 'claude_code', 'codex', 'opencode', 'copilot']

/** A coding task: of an issue, or in words of one's own. */
export default function TaskForm() {
  const { issue } = useSearch({ from: '/inside/new' })
  const navigate = useNavigate()
  const [draft, setDraft] = useState<Draft>(() =>
    issue === undefined ? keptDraft() : { ...keptDraft(), from: 'issue', issue },
  )
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ text: string; key: string }>(undefined)
  useEffect(() => {
    document.title = 'New task · Errand'
  }, [])
  const set = (change: Partial<Draft>) => {
    const next = { ...draft, ...change }
    setDraft(next)
    keepDraft(next)
    setFailure(undefined)
  }
  const missing =
    draft.from === 'issue'
      ? draft.issue.trim() === '' && 'the address of an issue'
      : draft.repo.trim() === ''
        ? 'a repository'
        : draft.title.trim() === '' && 'a title'
  const give = async () => {
    if (busy || missing !== false) return
    const body = requestOf(draft)
    const text = JSON.stringify(body)
    if (key.current?.text !== text) key.current = { text, key: newKey() }
    setBusy(true)
    setFailure(undefined)
    try {
      const { tasks } = await createTasks(body, key.current.key)
      keepDraft(undefined)
      await navigate({ to: '/tasks/$task', params: { task: tasks[0]!.id }, search: {} })
    } catch (error) {
      const refused = error as ApiError
      if (refused.status !== 0) key.current = undefined
      setFailure(refused)
      setBusy(false)
    }
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-5 max-sm:h-14 max-sm:px-4">
        <h1 className="text-page font-semibold">New task</h1>
        <Link to="/new" search={{}} className="reach ml-2 text-meta text-accent hover:underline">
          A workflow instead
        </Link>
        <span className="ml-auto" />
        <button
          type="submit"
          form="task-form"
          className="button button-main"
          aria-disabled={busy || missing !== false}
        >
          <GitPullRequest size={14} strokeWidth={1.75} aria-hidden />
          {busy ? 'Giving…' : 'Give the task'}
          <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
        </button>
      </header>
      <main className="min-h-0 flex-1 overflow-y-auto">
        <form
          id="task-form"
          className="mx-auto flex max-w-2xl flex-col gap-5 px-5 py-6 pb-24 max-sm:px-4"
          onSubmit={(event) => {
            event.preventDefault()
            void give()
          }}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
            event.preventDefault()
            void give()
          }}
        >
          {failure !== undefined && <Refusal error={failure} />}
          <fieldset className="flex w-fit rounded-md bg-idle p-0.5" aria-label="Where it comes from">
            {(['issue', 'words'] as const).map((one) => (
              <button
                key={one}
                type="button"
                aria-pressed={draft.from === one}
                className="h-7 rounded px-3 text-ink2 aria-pressed:bg-surface aria-pressed:font-medium aria-pressed:text-ink max-sm:h-11 dark:aria-pressed:bg-raised"
                onClick={() => set({ from: one })}
              >
                {one === 'issue' ? 'From an issue' : 'In my words'}
              </button>
            ))}
          </fieldset>
          {draft.from === 'issue' ? (
            <Field
              id="issue"
              label="Address of the issue"
              hint="Of GitHub, Gitea, Forgejo or GitLab. Its title, text and criteria are read, and it is told how it goes."
            >
              <input
                id="issue"
                type="url"
                className="field w-full"
                placeholder="https://git.example.com/shop/web/issues/12"
                value={draft.issue}
                onChange={({ target }) => set({ issue: target.value })}
              />
            </Field>
          ) : (
            <>
              <Field id="repo" label="Repository" hint="https://, ssh:// or git@host:path">
                <input
                  id="repo"
                  className="field w-full font-mono"
                  placeholder="https://git.example.com/shop/web"
                  value={draft.repo}
                  onChange={({ target }) => set({ repo: target.value })}
                  spellCheck={false}
                  autoCapitalize="none"
                />
              </Field>
              <Field id="title" label="Title">
                <input
                  id="title"
                  className="field w-full"
                  maxLength={256}
                  placeholder="Say what is wrong when a login fails"
                  value={draft.title}
                  onChange={({ target }) => set({ title: target.value })}
                />
              </Field>
              <Field id="description" label="Description" hint="What is so today, and what should be.">
                <textarea
                  id="description"
                  className="field h-32! w-full resize-y py-1.5"
                  value={draft.description}
                  onChange={({ target }) => set({ description: target.value })}
                />
              </Field>
            </>
          )}
          <Criteria criteria={draft.criteria} set={(criteria) => set({ criteria })} of={draft.from} />
          <Field
            id="tests"
            label="Tests"
            hint="Commands, one a line; without them the playbook of the repository, or what is found in it."
          >
            <textarea
              id="tests"
              className="field h-16! w-full resize-y py-1.5 font-mono"
              placeholder={'npm ci\nnpm test'}
              value={draft.tests}
              onChange={({ target }) => set({ tests: target.value })}
              spellCheck={false}
            />
          </Field>
          <div className="grid grid-cols-3 gap-4 max-sm:grid-cols-1">
            <Field id="agent" label="Agent">
              <input
                id="agent"
                className="field w-full"
                list="agents"
                value={draft.agent}
                onChange={({ target }) => set({ agent: target.value })}
                spellCheck={false}
              />
              <datalist id="agents">
                {agents.map((agent) => (
                  <option key={agent} value={agent} />
                ))}
              </datalist>
            </Field>
            <Field id="model" label="Model">
              <input
                id="model"
                className="field w-full"
                placeholder="the agent's own"
                value={draft.model}
                onChange={({ target }) => set({ model: target.value })}
                spellCheck={false}
              />
            </Field>
            <Field id="ref" label="Begins at">
              <input
                id="ref"
                className="field w-full font-mono"
                placeholder="the repository's branch"
                value={draft.ref}
                onChange={({ target }) => set({ ref: target.value })}
                spellCheck={false}
              />
            </Field>
          </div>
          <div className="flex flex-col gap-2">
            <Check checked={draft.plan} set={(plan) => set({ plan })}>
              I approve its plan first
            </Check>
            <Check checked={draft.pull} set={(pull) => set({ pull })}>
              Open a pull request, as a draft
            </Check>
          </div>
          <p className="text-meta text-ink2">
            {missing === false ? (
              <>
                It needs a token that may push, as the secret <code className="font-mono">GIT_TOKEN</code>:
                agents never have it.
              </>
            ) : (
              <>It still needs {missing}.</>
            )}
          </p>
        </form>
      </main>
    </>
  )
}

function Field({
  id,
  label,
  hint,
  children,
}: {
  id: string
  label: string
  hint?: string
  children: ReactNode
}) {
  return (
    <div>
      <label className="mb-1 block font-medium" htmlFor={id}>
        {label}
      </label>
      {children}
      {hint !== undefined && <p className="mt-1 text-meta text-ink2">{hint}</p>}
    </div>
  )
}

function Check({
  checked,
  set,
  children,
}: {
  checked: boolean
  set: (is: boolean) => void
  children: ReactNode
}) {
  return (
    <label className="flex min-h-6 items-center gap-2 max-sm:min-h-11">
      <input
        type="checkbox"
        className="size-4 accent-accent"
        checked={checked}
        onChange={({ target }) => set(target.checked)}
      />
      {children}
    </label>
  )
}

function Criteria({
  criteria,
  set,
  of,
}: {
  criteria: readonly string[]
  set: (criteria: string[]) => void
  of: Draft['from']
}) {
  return (
    <fieldset>
      <legend className="mb-1 font-medium">
        {of === 'issue' ? 'Further criteria' : 'Acceptance criteria'}
      </legend>
      <ul className="flex flex-col gap-2">
        {criteria.map((criterion, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: they are named by their places
          <li key={index} className="flex gap-2">
            <input
              className="field min-w-0 flex-1"
              aria-label={`Criterion ${index + 1}`}
              placeholder="Both are tested"
              value={criterion}
              onChange={({ target }) => set(criteria.map((one, at) => (at === index ? target.value : one)))}
            />
            {criteria.length > 1 && (
              <button
                type="button"
                className="button button-plain"
                aria-label={`Drop criterion ${index + 1}`}
                onClick={() => set(criteria.filter((_, at) => at !== index))}
              >
                <X size={14} strokeWidth={1.75} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      <button type="button" className="button button-plain mt-1" onClick={() => set([...criteria, ''])}>
        <Plus size={14} strokeWidth={1.75} aria-hidden /> Criterion
      </button>
    </fieldset>
  )
}

/** A refusal, with every fault that it names. */
function Refusal({ error }: { error: ApiError }) {
  const faults = Array.isArray(error.details)
    ? (error.details as { field?: string; message?: string }[]).filter(
        (one) => typeof one?.message === 'string',
      )
    : []
  return (
    <div>
      <Failure error={error} />
      {faults.length > 1 && (
        <ul className="mt-2 ml-4 list-disc text-meta text-ink2">
          {faults.map(({ field, message }) => (
            <li key={`${field} ${message}`}>
              <bdi>
                {field}: {message}
              </bdi>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
