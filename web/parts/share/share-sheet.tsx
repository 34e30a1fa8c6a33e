import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import type { Share, ShareCan, ShareList } from '../../../src/contract/runs/shares.ts'
import { ask } from '../../data/api.ts'
import type { Run, RunDetail } from '../../data/runs.ts'
import { meQuery } from '../../data/session.ts'
import { ActionButton } from '../action-button.tsx'
import { CopyButton } from '../copy-button.tsx'
import { When } from '../times.tsx'
import { LinkToShare } from './link-to-share.tsx'

interface Props {
  run: Pick<Run, 'run_id' | 'owner' | 'blueprint'>
  link: string
  close: () => void
}

const words: Record<ShareCan, string> = { watch: 'watch', 'take-part': 'take part' }
const nameOf = ({ user, role }: Pick<Share, 'user' | 'role'>) => user ?? `everyone with the role ${role}`

/**
 * Shows the link to a run, who can open it, and with whom it is shared: for watching, or also for prompts and
 * answers. Only its owner and admins can change that.
 */
export default function ShareSheet({ run, link, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const client = useQueryClient()
  const path = `/api/runs/${encodeURIComponent(run.run_id)}/shares`
  const { data: me } = useQuery(meQuery)
  const mayChange = me?.role === 'admin' || me?.name === run.owner
  const {
    data: { shares } = { shares: [] as readonly Share[] },
    error,
    isPending,
  } = useQuery({
    queryKey: ['shares', run.run_id],
    queryFn: ({ signal }) => ask<ShareList>('GET', path, { signal }),
  })
  const [whom, setWhom] = useState('')
  const [can, setCan] = useState<ShareCan>('watch')
  useEffect(() => dialog.current?.showModal(), [])
  const change = async (method: 'PUT' | 'DELETE', of: { user?: string; role?: string; can?: ShareCan }) => {
    const { can: rights, ...query } = of
    const answer = await ask<ShareList>(
      method,
      path,
      method === 'PUT' ? { body: { ...query, can: rights } } : { query },
    )
    client.setQueryData(['shares', run.run_id], answer)
    client.setQueryData<RunDetail>(
      ['run', run.run_id],
      (before) => before && { ...before, shares: answer.shares },
    )
  }
  const audience = whom === '*' ? { role: 'user' } : { user: whom.trim() }
  const what = run.blueprint === 'agent' ? 'session' : 'run'
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="share-title" onClose={close}>
      <h2 id="share-title" className="mb-2 text-page font-semibold">
        Share this {what}
      </h2>
      <LinkToShare link={link} />
      <p className="mb-3 text-ink2">
        <bdi className="font-medium text-ink">{run.owner}</bdi> and the admins of the tenant{' '}
        <bdi>{me?.tenant}</bdi> can open it. So can the people below, and anyone whom a step asks for
        approval. Nobody else can see that it exists. A person who takes part sends prompts and answers under
        their own name, and can use the files and secrets of the {what}.
      </p>
      <ul aria-label="Shared with" className="mb-3 border-b border-line">
        {shares.map((share) => (
          <li
            key={nameOf(share)}
            className="flex min-h-11 items-center gap-3 border-t border-line py-1 text-meta"
          >
            <span className="min-w-0 flex-1 truncate">
              <b className="font-medium">
                <bdi>{nameOf(share)}</bdi>
              </b>
              <span className="block text-label text-ink2">
                by {share.by}, <When time={share.at} />
              </span>
            </span>
            <span className="chip">{words[share.can]}</span>
            {mayChange && (
              <ActionButton
                kind="plain"
                doing="Removing…"
                act={() => change('DELETE', { user: share.user, role: share.role } as { user?: string })}
              >
                Remove
              </ActionButton>
            )}
          </li>
        ))}
        {shares.length === 0 && (
          <li className="border-t border-line py-3 text-meta text-ink2">
            {error !== null ? error.message : isPending ? '…' : 'Not shared with anyone else.'}
          </li>
        )}
      </ul>
      {mayChange && (
        <div className="mb-4 flex flex-wrap items-end gap-2">
          <label className="flex min-w-40 flex-1 flex-col gap-1 text-meta text-ink2">
            User in your tenant
            <input
              className="field text-ink"
              value={whom === '*' ? '' : whom}
              disabled={whom === '*'}
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              placeholder="bob"
              onChange={({ target }) => setWhom(target.value)}
            />
          </label>
          <label className="flex flex-col gap-1 text-meta text-ink2">
            Permission
            <select
              className="field text-ink"
              value={can}
              onChange={({ target }) => setCan(target.value as ShareCan)}
            >
              <option value="watch">watch</option>
              <option value="take-part">take part</option>
            </select>
          </label>
          <ActionButton
            kind="main"
            doing="Sharing…"
            act={async () => {
              if (whom.trim() === '') return
              await change('PUT', { ...audience, can })
              setWhom('')
            }}
          >
            Share
          </ActionButton>
          <label className="flex min-h-6 basis-full items-center gap-2 text-meta text-ink2 max-sm:min-h-11">
            <input
              type="checkbox"
              className="size-3.5 accent-accent"
              checked={whom === '*'}
              onChange={({ target }) => setWhom(target.checked ? '*' : '')}
            />
            all users of the tenant
          </label>
        </div>
      )}
      <div className="flex items-center justify-between gap-2">
        <CopyButton
          text={`errand sessions share ${run.run_id} --with ${whom === '' || whom === '*' ? 'NAME' : whom.trim()} --can ${can}`}
          label="Copy as CLI"
        />
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Close <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
      </div>
    </dialog>
  )
}
