import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Lightbulb, Play } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { ApiError, basePath, newKey } from '../data/api.ts'
import { asCommand } from '../data/as-command.ts'
import { hubAddress } from '../data/hub-address.ts'
import { createRun, type Problem, validate } from '../data/runs.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { fixOf } from './fix.ts'
import { InputsForm } from './inputs-form.tsx'
import { ExamplesMenu, NewHead } from './kind-tabs.tsx'
import { keepWorkflow, type WorkflowDraft } from './new-drafts.ts'
import { Output } from './output.tsx'
import { firstDraft, useSource } from './source.ts'
import { applyFix, goTo, YamlEditor } from './yaml-editor.tsx'

/** Returns the value once it has not changed for a moment. */
function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}

const SETTLED_MS = 250
const isRun = (from: string | undefined): from is string => from !== undefined && !from.startsWith('example:')

/** The page for pasting, running and watching a workflow: text and inputs on one side, output on the other. */
export function NewPage() {
  const search = useSearch('/new')
  const { from } = search
  const started = useRef<string>(undefined)
  // After starting a run here, the page keeps the text that the run was started with.
  const before = useRef(from)
  if (before.current !== from) {
    if (from !== started.current) started.current = undefined
    before.current = from
  }
  const key = from !== undefined && started.current === from ? 'here' : (from ?? '')
  const last = useRef(key)
  if (key !== 'here') last.current = key
  const source = useSource(key === 'here' ? undefined : from)
  if (source.error !== undefined)
    return (
      <>
        <NewHead title="New run" kind={undefined}>
          <ExamplesMenu />
        </NewHead>
        <main className="p-5">
          <Failure error={source.error} />
        </main>
      </>
    )
  if (source.isReading) return <main className="flex-1" aria-busy="true" />
  return (
    <Workbench
      key={last.current}
      search={search}
      draft={firstDraft(from, source.of)}
      emptied={source.of?.left_out ?? []}
      began={(run) => {
        started.current = run
      }}
    />
  )
}

interface WorkbenchProps {
  search: { from?: string; [input: `input.${string}`]: string | undefined }
  draft: WorkflowDraft
  /** Names of credentials that the run at the address's `from` had. */
  emptied: readonly string[]
  began: (run: string) => void
}

function Workbench({ search, draft: first, emptied: atFirst, began }: WorkbenchProps) {
  const [emptied] = useState(atFirst)
  const { from } = search
  const navigate = useNavigate('/new')
  const linked = Object.entries(search).flatMap(([name, value]) =>
    name.startsWith('input.') && value !== undefined ? [[name.slice('input.'.length), value] as const] : [],
  )
  const [draft, setDraft] = useState<WorkflowDraft>(() => ({
    ...first,
    values: { ...first.values, ...Object.fromEntries(linked) },
  }))
  const [secrets, setSecrets] = useState<Record<string, string>>({})
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const [refused, setRefused] = useState<ReadonlyMap<string, string>>(new Map())
  const key = useRef<{ body: string; key: string }>(undefined)
  const { text, values } = draft
  const settled = useSettled(draft, SETTLED_MS)
  const { data: checked } = useQuery({
    queryKey: ['validate', settled.text, settled.values],
    queryFn: ({ signal }) => validate(settled.text, settled.values, signal),
    enabled: settled.text.trim() !== '',
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  })
  useEffect(() => {
    document.title = 'New run · Errand'
    // With a keyboard, a person can type at once; Escape leaves the text.
    if (matchMedia('(pointer: fine)').matches) document.querySelector<HTMLElement>('#yaml')?.focus()
  }, [])
  // While the text has a mistake, the form stays unchanged.
  const known = useRef(checked?.workflow)
  if (checked?.workflow !== undefined) known.current = checked.workflow
  const inputs = text.trim() === '' ? [] : (known.current?.inputs ?? [])
  const problems = text.trim() === '' ? [] : (checked?.problems ?? [])
  const mistakes = problems.filter(({ severity }) => severity === 'error').length
  const empty = emptied.filter((name) => emptyLine(name).test(text))
  const secretNames = inputs.filter(({ secret }) => secret).map(({ name }) => name)
  // Secrets are not taken from a link, since they would end up in histories and logs.
  const plain = Object.fromEntries(Object.entries(values).filter(([name]) => !secretNames.includes(name)))
  const faultsOf = (vars: NonNullable<typeof checked>['vars']) => {
    const faults = new Map<string, string>()
    for (const { name, message, hint } of vars ?? []) {
      const isVariable = !inputs.some((input) => input.name === name)
      const isCopied = isVariable && Object.hasOwn(first.values, name)
      if (isCopied || (secrets[name] ?? '') !== '') continue
      faults.set(name, hint === undefined ? message : `${message}; ${hint}`)
    }
    for (const name of secretNames)
      if (linked.some(([one]) => one === name) && !secrets[name])
        faults.set(name, 'a link cannot fill in a secret: enter it here')
    for (const name of empty)
      if (!secrets[name]) faults.set(name, 'enter it again, or remove its line from env')
    return faults
  }
  const faults = new Map([...faultsOf(checked?.vars), ...refused])

  // The draft of plain `/new` always has what was typed last, even when the address names the new run.
  const keep = ({ text, values, ...of }: WorkflowDraft) => {
    const stored = { text, values: plainOf(values, secretNames) }
    keepWorkflow({ ...of, ...stored })
    if (first.from === undefined) keepWorkflow(stored)
  }
  const change = (next: Partial<WorkflowDraft>) => {
    const changed = { ...draft, ...next }
    setDraft(changed)
    keep(changed)
    setFailure(undefined)
    setRefused(new Map())
  }
  const setValue = (name: string, value: string | undefined) => {
    const { [name]: _, ...others } = values
    change({ values: value === undefined ? others : { ...values, [name]: value } })
  }
  const run = async () => {
    if (busy || text.trim() === '') return
    setBusy(true)
    setFailure(undefined)
    try {
      const now = await validate(text, plain)
      const mistake = now.problems.find(({ severity }) => severity === 'error')
      const wrong = faultsOf(now.vars)
      if (mistake !== undefined) goTo(mistake)
      else if (wrong.size > 0) {
        setRefused(wrong)
        focusField([...inputs.map(({ name }) => name), ...wrong.keys()].find((name) => wrong.has(name))!)
      } else {
        const body = {
          yaml: empty.reduce((all, name) => filled(all, name, secrets[name]!), text),
          vars: { ...plain, ...secretsOf(secrets, secretNames) },
          repository: draft.repository,
        }
        const whole = JSON.stringify(body)
        if (key.current?.body !== whole) key.current = { body: whole, key: newKey() }
        const { run_id } = await createRun(body, key.current.key)
        key.current = undefined
        keep({ ...draft, from: run_id })
        began(run_id)
        setDraft((was) => ({ ...was, values: plain, from: run_id }))
        await navigate({ search: { from: run_id }, replace: isRun(from) })
      }
    } catch (error) {
      const apiError = asApiError(error)
      if (apiError.status !== 0) key.current = undefined
      const mistake = (apiError.details as { problems?: Problem[] } | undefined)?.problems?.[0]
      if (mistake !== undefined) goTo(mistake)
      setFailure(apiError)
    }
    setBusy(false)
  }
  // Until the first answer, nobody knows which of the values are inputs.
  const hasForm =
    checked !== undefined && (inputs.length > 0 || empty.length > 0 || Object.keys(plain).length > 0)
  const hasOutput = isRun(from)
  const cannot = text.trim() === '' ? 'Paste a workflow first' : undefined
  return (
    <>
      <NewHead title="New run" kind={undefined}>
        <ExamplesMenu />
        <CopyButton
          text={
            asCommand({
              do: 'start',
              yaml: text,
              vars: plain,
              secrets: secretNames,
              repository: draft.repository,
            })!
          }
          label="Copy as CLI"
          word="Copy as CLI"
        />
        <button
          type="button"
          className="button button-main"
          aria-disabled={busy || cannot !== undefined}
          title={cannot}
          onClick={run}
        >
          {busy ? (
            'Starting…'
          ) : (
            <>
              <Play size={13} strokeWidth={1.75} aria-hidden /> {hasOutput ? 'Run again' : 'Run'}
              <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
            </>
          )}
        </button>
      </NewHead>
      <main className="flex min-h-0 flex-1 max-md:flex-col max-md:overflow-y-auto">
        <div
          className={`flex min-h-0 min-w-0 flex-1 ${hasOutput ? 'flex-col border-line md:max-w-[42%] md:border-r' : 'max-lg:flex-col'} ${hasOutput || hasForm ? 'max-md:flex-none' : ''}`}
        >
          <section
            aria-label="Workflow"
            className="flex min-h-0 min-w-0 flex-1 flex-col max-md:min-h-[50dvh]"
          >
            <YamlEditor text={text} change={(next) => change({ text: next })} problems={problems} run={run} />
            <div
              className={`max-h-[35%] shrink-0 overflow-y-auto border-t border-line px-4 py-2 text-meta ${mistakes > 0 ? 'bg-bad-soft' : ''}`}
            >
              {failure !== undefined && <Failure error={failure} />}
              {mistakes === 0 && (
                <p className="flex min-h-6 items-center gap-2 text-ink2">
                  {text.trim() === '' || checked === undefined ? (
                    'Paste a workflow, or drop a file.'
                  ) : (
                    <>
                      <StatusMark shown="success" size={14} beside />
                      No mistakes{factsText(checked.workflow)}
                      <span className="ml-auto text-ink3 max-sm:hidden">paste or drop a file</span>
                    </>
                  )}
                </p>
              )}
              {problems.length > 0 && <Problems problems={problems} text={text} mistakes={mistakes} />}
            </div>
          </section>
          {hasForm && (
            <section
              aria-label="Inputs"
              className={`overflow-y-auto border-line px-4 py-3 ${hasOutput ? 'max-h-[45%] shrink-0 border-t max-md:max-h-none' : 'w-[340px] shrink-0 border-l max-lg:max-h-[45%] max-lg:w-full max-lg:border-t max-lg:border-l-0 max-md:max-h-none'}`}
              onKeyDown={(event) => {
                if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
                event.preventDefault()
                void run()
              }}
            >
              <div className="mb-3 flex min-h-6 items-center justify-between">
                <h2 className="font-semibold">Inputs</h2>
                {from !== undefined && (
                  <CopyButton text={linkOf(from, plain)} label="Copy a link with these inputs" />
                )}
              </div>
              <InputsForm
                inputs={inputs}
                values={plain}
                secrets={secrets}
                emptied={empty}
                faults={faults}
                change={setValue}
                changeSecret={(name, value) => {
                  setSecrets((was) => ({ ...was, [name]: value }))
                  setRefused(new Map())
                }}
              />
            </section>
          )}
        </div>
        {hasOutput && <Output key={from} id={from} />}
      </main>
    </>
  )
}

const asApiError = (error: unknown): ApiError =>
  error instanceof ApiError ? error : new ApiError(0, { error: { code: 'internal', message: String(error) } })

const plainOf = (values: Record<string, string>, secret: readonly string[]) =>
  Object.fromEntries(Object.entries(values).filter(([name]) => !secret.includes(name)))

const secretsOf = (secrets: Record<string, string>, names: readonly string[]) =>
  Object.fromEntries(names.flatMap((name) => (secrets[name] ? [[name, secrets[name]]] : [])))

/** Matches the line of `env` from which a credential was removed, as the hub writes it. */
const emptyLine = (name: string) => new RegExp(`^([ \\t]+${name}:)[ \\t]*""[ \\t]*$`, 'm')
const filled = (text: string, name: string, value: string): string => {
  const line = emptyLine(name)
  return text.replace(new RegExp(line.source, 'gm'), (_, head: string) => `${head} ${JSON.stringify(value)}`)
}

function focusField(name: string): void {
  document.querySelector<HTMLElement>(`[name="${CSS.escape(name)}"]`)?.focus()
}

function linkOf(from: string, values: Readonly<Record<string, string>>): string {
  const words = new URLSearchParams([
    ['from', from],
    ...Object.entries(values).map(([name, value]) => [`input.${name}`, value]),
  ])
  return `${hubAddress(location.origin, basePath)}/new?${words}`
}

function factsText(workflow: { steps: number; hosts: number } | undefined): string {
  if (workflow === undefined) return ''
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`
  return `, ${count(workflow.steps, 'step')}, ${count(workflow.hosts, 'host')}`
}

function Problems({
  problems,
  text,
  mistakes,
}: {
  problems: readonly Problem[]
  text: string
  mistakes: number
}) {
  return (
    <ul aria-label={`${mistakes} ${mistakes === 1 ? 'mistake' : 'mistakes'}`}>
      {problems.map((problem, index) => {
        const fix = fixOf(text, problem)
        return (
          <li
            key={`${problem.line}:${problem.column}:${problem.message}`}
            className="flex items-start gap-2 rounded hover:bg-hover"
          >
            <button
              type="button"
              className="flex min-w-0 flex-1 gap-2 px-1 py-1 text-left"
              onClick={() => goTo(problem)}
            >
              <span className="mt-0.5">
                <StatusMark shown={problem.severity === 'error' ? 'failed' : 'room'} size={14} beside />
              </span>
              <span className="w-12 shrink-0 font-mono text-ink2">
                {problem.line === undefined ? '' : `${problem.line}:${problem.column ?? 1}`}
              </span>
              <span className="min-w-0 break-words">
                <bdi>{problem.message}</bdi>
                {problem.hint !== undefined && (
                  <span className="block text-ink2">
                    <Lightbulb size={12} strokeWidth={1.75} aria-hidden className="mr-1 inline" />
                    <bdi>{problem.hint}</bdi>
                  </span>
                )}
              </span>
            </button>
            {fix !== undefined && (
              <button type="button" className="button mt-0.5 shrink-0" onClick={() => applyFix(fix)}>
                Use <bdi className="font-mono">{fix.word}</bdi>
                {index === 0 && <kbd className="key max-sm:hidden">Alt ↵</kbd>}
              </button>
            )}
          </li>
        )
      })}
    </ul>
  )
}
