import { GitPullRequest, Plus, X } from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { CreateTasksInput } from '../../src/contract/tasks/task-api.ts'
import { type ApiError, newKey } from '../data/api.ts'
import { asCommand } from '../data/as-command.ts'
import { createTasks, getTask, type TaskDetail } from '../data/tasks.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { TextField } from '../parts/field.tsx'
import { FromEarlier } from './from-earlier.tsx'
import { NewHead } from './kind-tabs.tsx'
import { keepForm, storedForm } from './new-drafts.ts'

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

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/** Builds the request from a draft; leaves out empty fields. */
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

/** Returns the draft that repeats an earlier task. */
function draftOf({ task }: TaskDetail): Draft {
  return {
    ...none,
    from: task.issue === undefined ? 'words' : 'issue',
    issue: task.issue ?? '',
    repo: task.repo_url ?? '',
    ref: task.ref ?? '',
    title: task.title,
    description: task.description,
    criteria:
      task.issue === undefined && task.acceptance_criteria.length > 0 ? task.acceptance_criteria : [''],
    tests: (task.test_commands ?? []).join('\n'),
    agent: task.agent ?? none.agent,
    model: task.model ?? '',
    instructions: task.instructions ?? '',
    plan: task.plan ?? false,
    pull: task.pull_request !== false,
  }
}

/** Returns the command that does the same. */
function commandOf(draft: Draft): string {
  const { issue, task, defaults } = requestOf(draft)
  const { agent, model, ref, acceptance_criteria = [], test_commands = [], plan } = (task ?? defaults)!
  const shared = {
    agent,
    model,
    ref,
    criteria: acceptance_criteria,
    tests: test_commands,
    plan: plan === true,
  }
  const own = task && { title: task.title, description: task.description, repo: task.repo_url }
  return asCommand({ do: 'task-run', ...(issue !== undefined && { issue }), ...own, ...shared })!
}

/** The form for a coding task, from an issue or described in words; the address's `from` fills in an earlier task. */
export default function TaskForm() {
  const { from, issue } = useSearch('/new')
  return (
    <FromEarlier title="New task" kind="task" from={from} read={getTask}>
      {(task) => <Form key={from ?? ''} first={task && draftOf(task)} issue={issue} />}
    </FromEarlier>
  )
}

function Form({ first, issue }: { first: Draft | undefined; issue: string | undefined }) {
  const navigate = useNavigate()
  const [draft, setDraft] = useState<Draft>(() => {
    const stored = first ?? storedForm('task', none)
    return issue === undefined ? stored : { ...stored, from: 'issue', issue }
  })
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ text: string; key: string }>(undefined)
  useEffect(() => {
    document.title = 'New task · Errand'
  }, [])
  const set = (change: Partial<Draft>) => {
    const next = { ...draft, ...change }
    setDraft(next)
    if (first === undefined) keepForm('task', next)
    setFailure(undefined)
  }
  const missing =
    draft.from === 'issue'
      ? draft.issue.trim() === '' && 'the URL of an issue'
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
      if (first === undefined) keepForm('task', undefined)
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
      <NewHead title="New task" kind="task">
        <CopyButton text={commandOf(draft)} label="Copy as CLI" word="Copy as CLI" />
        <button
          type="submit"
          form="task-form"
          className="button button-main"
          aria-disabled={busy || missing !== false}
        >
          <GitPullRequest size={14} strokeWidth={1.75} aria-hidden />
          {busy ? 'Creating…' : 'Create task'}
          <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
        </button>
      </NewHead>
      <main className="min-h-0 flex-1 overflow-y-auto">
        <form
          id="task-form"
          className="mx-auto flex max-w-2xl flex-col gap-5 px-edge py-6 pb-24"
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
          <fieldset className="segments w-fit" aria-label="Source">
            {(['issue', 'words'] as const).map((one) => (
              <button
                key={one}
                type="button"
                aria-pressed={draft.from === one}
                className="segment px-3 sm:h-7"
                onClick={() => set({ from: one })}
              >
                {one === 'issue' ? 'From an issue' : 'From a description'}
              </button>
            ))}
          </fieldset>
          {draft.from === 'issue' ? (
            <TextField
              label="Issue URL"
              note="On GitHub, Gitea, Forgejo or GitLab. The task takes its title, text and criteria from the issue, and reports its progress there."
              type="url"
              placeholder="https://git.example.com/shop/web/issues/12"
              value={draft.issue}
              change={(issue) => set({ issue })}
            />
          ) : (
            <>
              <TextField
                label="Repository"
                note="https://, ssh:// or git@host:path"
                mono
                placeholder="https://git.example.com/shop/web"
                value={draft.repo}
                change={(repo) => set({ repo })}
              />
              <TextField
                label="Title"
                maxLength={256}
                placeholder="Show the reason when a login fails"
                value={draft.title}
                change={(title) => set({ title })}
              />
              <TextField
                label="Description"
                note="What happens today, and what should happen instead"
                rows={6}
                value={draft.description}
                change={(description) => set({ description })}
              />
            </>
          )}
          <Criteria criteria={draft.criteria} set={(criteria) => set({ criteria })} of={draft.from} />
          <TextField
            label="Tests"
            note="Commands, one per line. If empty, those of the repository's playbook, or those that are detected."
            rows={3}
            mono
            placeholder={'npm ci\nnpm test'}
            value={draft.tests}
            change={(tests) => set({ tests })}
          />
          <div className="grid grid-cols-3 gap-4 max-sm:grid-cols-1">
            <TextField label="Agent" offers={agents} value={draft.agent} change={(agent) => set({ agent })} />
            <TextField
              label="Model"
              placeholder="the agent's default"
              value={draft.model}
              change={(model) => set({ model })}
            />
            <TextField
              label="Base branch"
              mono
              placeholder="the default branch"
              value={draft.ref}
              change={(ref) => set({ ref })}
            />
          </div>
          <div className="flex flex-col gap-2">
            <Check checked={draft.plan} set={(plan) => set({ plan })}>
              Wait for approval of the plan
            </Check>
            <Check checked={draft.pull} set={(pull) => set({ pull })}>
              Open a draft pull request
            </Check>
          </div>
          <p className="text-meta text-ink2">
            {missing === false ? (
              <>
                Pushing needs a token with push access, stored as the secret{' '}
                <code className="font-mono">GIT_TOKEN</code> for the repository's server. Agents never get it.
              </>
            ) : (
              <>Enter {missing}.</>
            )}
          </p>
        </form>
      </main>
    </>
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
        {of === 'issue' ? 'Additional criteria' : 'Acceptance criteria'}
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
                aria-label={`Remove criterion ${index + 1}`}
                onClick={() => set(criteria.filter((_, at) => at !== index))}
              >
                <X size={14} strokeWidth={1.75} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      <button type="button" className="button button-plain mt-1" onClick={() => set([...criteria, ''])}>
        <Plus size={14} strokeWidth={1.75} aria-hidden /> Add criterion
      </button>
    </fieldset>
  )
}

/** Shows a refusal with all the faults that it lists. */
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
