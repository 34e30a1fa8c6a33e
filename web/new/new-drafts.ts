/** What was typed for a new run and is not begun yet: it survives a reload, a logout and the hub. Secrets are never in it. */

export interface WorkflowDraft {
  text: string
  /** Of inputs and other variables, by name. */
  values: Record<string, string>
  /** Where text and values came from, as `from` of the address has it. */
  from?: string
  /** The repository that the run is for. */
  repository?: string
}

const WORKFLOW = 'errand.draft.workflow'

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null')
  } catch {
    return null
  }
}

function keep(key: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(key)
    else localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // It lives as long as the page.
  }
}

const texts = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries((value ?? {}) as object).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )

const keyOf = (from: string | undefined) => (from === undefined ? WORKFLOW : `${WORKFLOW}.from`)

/** The draft of that address: one for `/new` alone, and the one that was begun last from something else. */
export function keptWorkflow(from: string | undefined): WorkflowDraft | undefined {
  const kept = read(keyOf(from)) as Partial<WorkflowDraft> | null
  if (typeof kept?.text !== 'string' || kept.from !== from) return undefined
  const { text, repository } = kept
  return {
    text,
    values: texts(kept.values),
    ...(from !== undefined && { from }),
    ...(typeof repository === 'string' && { repository }),
  }
}

export const keepWorkflow = (draft: WorkflowDraft): void => keep(keyOf(draft.from), draft)

/** The draft of a form, by its name; what is not kept is as in `none`. */
export function keptForm<Form extends object>(name: string, none: Form): Form {
  const kept = read(`errand.draft.${name}`)
  return typeof kept === 'object' && kept !== null ? { ...none, ...kept } : none
}

export const keepForm = (name: string, form: object | undefined): void => keep(`errand.draft.${name}`, form)
