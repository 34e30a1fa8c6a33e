import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import type { SecretView } from '../../src/contract/secrets.ts'
import { deleteSecret, listSecrets, putSecret } from '../data/account.ts'
import { ApiError } from '../data/api.ts'
import { meQuery } from '../data/session.ts'
import { useLeaving } from '../navigation/navigation.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { When } from '../parts/times.tsx'
import { Labelled, Part, SettingsFrame } from './settings-frame.tsx'

type Kind = 'tenant' | 'repository' | 'workflow'
interface Draft {
  name: string
  value: string
  kind: Kind
  scopeName: string
  /** Servers that the secret may be sent to, as typed. */
  hosts: string
  /** Replaces the value or the servers of an existing secret. */
  replaces: boolean
}
const empty = (kind: Kind): Draft => ({
  ...{ name: '', value: '', kind, scopeName: '', hosts: '' },
  replaces: false,
})

/** The secret that is sent only to the servers named with it. */
const BOUND = 'GIT_TOKEN'
const hostsIn = (text: string): string[] => text.split(/[\s,]+/).filter((host) => host !== '')

/** Returns where a secret may be sent; empty if it is bound to no servers. */
const sentTo = ({ hosts }: SecretView): string => {
  if (hosts === undefined) return ''
  return hosts.length === 0 ? ' · sent to no server' : ` · sent to ${hosts.join(', ')}`
}

const keyOf = ({ name, scope, repository, workflow, owner }: SecretView) =>
  JSON.stringify([name, scope, repository, workflow, owner])

/** Says who receives a secret. */
function scopeText({ repository, workflow, owner }: SecretView): string {
  const whose = owner === undefined ? 'all runs' : `runs of ${owner}`
  if (repository !== undefined) return `${whose} for the repository ${repository}`
  return workflow === undefined ? whose : `${whose} of the workflow ${workflow}`
}

/** Lists the secrets that runs receive: their names, never their values. */
export function SecretsPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const { data, error } = useQuery({
    queryKey: ['secrets'],
    queryFn: ({ signal }) => listSecrets(signal),
    staleTime: 0,
  })
  const isAdmin = me?.role === 'admin'
  const first: Kind = isAdmin ? 'tenant' : 'workflow'
  const [draft, setDraft] = useState<Draft>()
  const now = draft ?? empty(first)
  const [deleting, setDeleting] = useState<SecretView>()
  const [warnings, setWarnings] = useState<readonly string[]>([])
  const again = () => client.invalidateQueries({ queryKey: ['secrets'] })
  const isDirty = now.name !== '' || now.value !== ''
  const secrets = data?.secrets ?? []
  return (
    <SettingsFrame title="Secrets">
      <Part
        title={now.replaces ? 'Replace secret' : 'New secret'}
        about="Steps refer to a secret by its name, and get its value on their machine. Logs show *** instead. Nobody can read the value here again."
      >
        <Form
          key={now.replaces ? now.name : ''}
          draft={now}
          isAdmin={isAdmin}
          isThere={secrets.some(
            ({ name, scope, repository, workflow }) =>
              name === now.name.trim() &&
              scope === now.kind &&
              (repository ?? workflow ?? '') === now.scopeName.trim(),
          )}
          isDirty={isDirty}
          change={(part) => setDraft({ ...now, ...part })}
          drop={() => setDraft(undefined)}
          done={async (warnings) => {
            setWarnings(warnings)
            setDraft(undefined)
            await again()
          }}
        />
        {warnings.map((text) => (
          <p key={text} role="status" className="mt-3 rounded-lg bg-ask-soft px-3 py-2 text-meta">
            {text}
          </p>
        ))}
      </Part>
      <Part title="Stored secrets">
        {error instanceof ApiError && <Failure error={error} />}
        {data !== undefined && secrets.length === 0 && <p className="text-ink2">No secrets yet.</p>}
        <ul className="overflow-clip rounded-[10px] border border-line empty:hidden">
          {secrets.map((secret) => (
            <li
              key={keyOf(secret)}
              className="flex min-h-12 flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-3 py-1.5 first:border-t-0"
            >
              <span className="min-w-0 flex-1 basis-48">
                <span className="block truncate font-mono text-meta font-medium">
                  <bdi>{secret.name}</bdi>
                </span>
                <span className="block truncate text-label text-ink2">
                  <bdi>{`${scopeText(secret)}${sentTo(secret)}`}</bdi>
                </span>
              </span>
              <span className="text-meta text-ink2 max-sm:order-1 max-sm:basis-full">
                set by <bdi>{secret.updated_by}</bdi>, <When time={secret.updated_at} />
              </span>
              {(isAdmin || secret.owner === me?.name) && (
                <RowMenu
                  label={`More for ${secret.name}`}
                  actions={[
                    ...(secret.owner === undefined || secret.owner === me?.name
                      ? [
                          {
                            word: 'Replace…',
                            act: () =>
                              setDraft({
                                ...{ name: secret.name, value: '', kind: secret.scope, replaces: true },
                                scopeName: secret.repository ?? secret.workflow ?? '',
                                hosts: secret.hosts?.join(' ') ?? '',
                              }),
                          },
                        ]
                      : []),
                    { word: 'Delete…', bad: true, act: () => setDeleting(secret) },
                  ]}
                />
              )}
            </li>
          ))}
        </ul>
      </Part>
      {deleting !== undefined && (
        <Confirm
          title={`Delete ${deleting.name}?`}
          keep="Keep it"
          verb="Delete secret"
          doing="Deleting…"
          typed={deleting.name}
          act={async () => {
            const { name, repository, workflow, owner } = deleting
            await deleteSecret(name, { repository, workflow, owner })
            void again()
          }}
          close={() => setDeleting(undefined)}
        >
          It is available to {scopeText(deleting)}. From now on, steps that need it fail, including waiting
          ones. Running steps keep the value they got. The value cannot be restored.
        </Confirm>
      )}
    </SettingsFrame>
  )
}

interface FormProps {
  draft: Draft
  isAdmin: boolean
  isThere: boolean
  isDirty: boolean
  change: (part: Partial<Draft>) => void
  drop: () => void
  done: (warnings: readonly string[]) => Promise<void>
}

function Form({ draft, isAdmin, isThere, isDirty, change, drop, done }: FormProps) {
  const [failure, setFailure] = useState<ApiError>()
  const { name, value, kind, scopeName, hosts, replaces } = draft
  const isBound = name.trim() === BOUND || hosts !== ''
  const isValueUnchanged = replaces && isBound && value === ''
  // A reload or another address asks first, since the value is stored nowhere.
  const leaving = useLeaving(isDirty)
  const submit = (event: FormEvent) => event.preventDefault()
  return (
    <form className="flex flex-col gap-3" onSubmit={submit}>
      <div className="flex flex-wrap items-end gap-3">
        <Labelled word="Name">
          <input
            className="field font-mono"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            placeholder="DEPLOY_TOKEN"
            readOnly={replaces}
            value={name}
            onChange={({ target }) => change({ name: target.value })}
          />
        </Labelled>
        <Labelled word="Available to">
          <select
            className="field"
            value={kind}
            disabled={replaces}
            onChange={({ target }) => change({ kind: target.value as Kind })}
          >
            {isAdmin && <option value="tenant">all runs</option>}
            <option value="workflow">a workflow</option>
            <option value="repository">a repository</option>
          </select>
        </Labelled>
        {kind !== 'tenant' && (
          <Labelled word={kind === 'workflow' ? 'Workflow name' : 'Repository name'}>
            <input
              className="field"
              autoComplete="off"
              readOnly={replaces}
              value={scopeName}
              onChange={({ target }) => change({ scopeName: target.value })}
            />
          </Labelled>
        )}
      </div>
      <Labelled word="Value">
        <textarea
          className="field h-auto min-h-16 py-1.5 font-mono [-webkit-text-security:disc] focus:[-webkit-text-security:none]"
          autoComplete="off"
          spellCheck={false}
          rows={2}
          placeholder={replaces && isBound ? 'Leave empty to change only the servers' : ''}
          value={value}
          onChange={({ target }) => change({ value: target.value })}
        />
      </Labelled>
      {isBound && (
        <Labelled word="Allowed servers">
          <input
            className="field font-mono"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            placeholder="github.com git.example.org:8443"
            value={hosts}
            onChange={({ target }) => change({ hosts: target.value })}
          />
        </Labelled>
      )}
      {isThere && !isValueUnchanged && (
        <p className="text-meta text-ask">
          {replaces
            ? 'The current value is replaced and cannot be restored.'
            : 'A secret with this name exists. Saving replaces it.'}
        </p>
      )}
      {failure !== undefined && <Failure error={failure} />}
      <div className="flex gap-2">
        <ActionButton
          className="max-sm:w-full"
          kind="main"
          doing="Saving…"
          onFailure={setFailure}
          act={async () => {
            setFailure(undefined)
            const { warnings } = await putSecret(name.trim(), {
              ...(isValueUnchanged ? {} : { value }),
              ...(isBound && { hosts: hostsIn(hosts) }),
              ...(kind === 'tenant' ? {} : { [kind]: scopeName.trim() }),
            })
            await done(warnings)
          }}
        >
          Save secret
        </ActionButton>
        {isDirty && (
          <button type="button" className="button button-plain" onClick={drop}>
            Discard
          </button>
        )}
      </div>
      {leaving !== undefined && (
        <Confirm
          title="Leave without saving?"
          keep="Stay here"
          verb="Leave"
          doing="Leaving…"
          act={async () => leaving.go()}
          close={() => leaving.stay()}
        >
          The secret {name === '' ? '' : `${name} `}is not saved, and your input will be lost.
        </Confirm>
      )}
    </form>
  )
}
