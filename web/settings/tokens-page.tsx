import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { CreateTokenInput, Permission, TokenCreated, TokenView } from '../../src/contract/account-api.ts'
import { createToken, listTokens, revokeToken } from '../data/account.ts'
import { ApiError } from '../data/api.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { When } from '../parts/times.tsx'
import { Labelled, Part, SettingsFrame, ShownOnce } from './settings-frame.tsx'

const lives: Record<string, number | null> = {
  '1 day': 86_400,
  '30 days': 30 * 86_400,
  '90 days': 90 * 86_400,
  '1 year': 365 * 86_400,
  'no expiration': null,
}

const permissions = ['tokens', 'users', 'secrets'] as const satisfies readonly Permission[]

const scopes = { api: 'acts as you', runner: 'connects a runner', metrics: 'reads metrics' } as const

/** Lists tokens that act for the person; an admin sees all tokens of the tenant. */
export function TokensPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const { data, error } = useQuery({
    queryKey: ['tokens'],
    queryFn: ({ signal }) => listTokens(signal),
    staleTime: 0,
  })
  const [made, setMade] = useState<TokenCreated>()
  const [ended, setEnded] = useState(false)
  const [revoking, setRevoking] = useState<TokenView>()
  const again = () => client.invalidateQueries({ queryKey: ['tokens'] })
  const all = data?.tokens ?? []
  const shown = ended ? all : all.filter(({ status }) => status === 'good')
  const over = all.filter(({ status }) => status !== 'good').length
  return (
    <SettingsFrame title="Tokens">
      <Part title="New token" about="For scripts, CI and other programs. You see a token only once.">
        {made !== undefined && (
          <ShownOnce
            what={
              <>
                Copy the token <bdi className="font-medium">{made.name}</bdi> now. It is not shown again.
              </>
            }
            text={made.token}
            copy={<CopyButton text={made.token} label="Copy the token" word="Copy" />}
            close={() => setMade(undefined)}
          />
        )}
        <Create
          isAdmin={me?.role === 'admin'}
          done={async (token) => {
            setMade(token)
            await again()
          }}
        />
      </Part>
      <Part title={me?.role === 'admin' ? 'All tokens' : 'Your tokens'}>
        {error instanceof ApiError && <Failure error={error} />}
        {over > 0 && (
          <label className="mb-3 flex items-center gap-2 text-meta text-ink2 max-sm:min-h-11">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              checked={ended}
              onChange={({ target }) => setEnded(target.checked)}
            />
            Show used, expired and revoked tokens ({over})
          </label>
        )}
        {data !== undefined && shown.length === 0 && <p className="text-ink2">No tokens.</p>}
        <ul className="overflow-clip rounded-[10px] border border-line empty:hidden">
          {shown.map((token) => (
            <li
              key={token.id}
              className="flex min-h-12 flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-3 py-1.5 first:border-t-0"
            >
              <span className="min-w-0 flex-1 basis-48">
                <span className="block truncate font-medium">
                  <bdi>{token.name}</bdi>
                </span>
                <span className="block truncate text-label text-ink2">
                  {token.scope}
                  {token.allow !== undefined && ` · can manage ${token.allow.join(', ')}`}
                  {token.made_by !== undefined && ' · created by a token'}
                  {token.user !== '' && token.user !== me?.name && (
                    <>
                      {' '}
                      · <bdi>{token.user}</bdi>
                    </>
                  )}
                  {token.group !== undefined && (
                    <>
                      {' '}
                      · group <bdi>{token.group}</bdi>
                    </>
                  )}
                </span>
              </span>
              <span className="text-meta text-ink2 max-sm:order-2">
                {token.last_used_at === undefined ? (
                  'never used'
                ) : (
                  <>
                    used <When time={token.last_used_at} />
                  </>
                )}
              </span>
              <span className="w-40 text-meta text-ink2 max-sm:order-2 max-sm:w-auto">
                {token.status !== 'good' ? (
                  token.status
                ) : token.expires_at === undefined ? (
                  'does not expire'
                ) : (
                  <>
                    expires <When time={token.expires_at} />
                  </>
                )}
              </span>
              {token.status === 'good' ? (
                <button
                  type="button"
                  className="button button-quiet-bad max-sm:order-1"
                  onClick={() => setRevoking(token)}
                >
                  Revoke
                </button>
              ) : (
                <span className="w-16 max-sm:hidden" />
              )}
            </li>
          ))}
        </ul>
      </Part>
      {revoking !== undefined && (
        <Confirm
          title={`Revoke ${revoking.name}?`}
          keep="Keep it"
          verb="Revoke token"
          doing="Revoking…"
          act={async () => {
            await revokeToken(revoking.id)
            void again()
          }}
          close={() => setRevoking(undefined)}
        >
          Programs that use it lose access now. You cannot undo this.
        </Confirm>
      )}
    </SettingsFrame>
  )
}

function Create({ isAdmin, done }: { isAdmin: boolean; done: (token: TokenCreated) => Promise<void> }) {
  const [name, setName] = useState('')
  const [life, setLife] = useState('90 days')
  const [scope, setScope] = useState<keyof typeof scopes>('api')
  const [allow, setAllow] = useState<readonly Permission[]>([])
  const [failure, setFailure] = useState<ApiError>()
  return (
    <form className="flex flex-col gap-3" onSubmit={(event) => event.preventDefault()}>
      <div className="flex flex-wrap items-end gap-3">
        <span className="flex min-w-48 flex-1 flex-col max-sm:basis-full">
          <Labelled word="Name">
            <input
              className="field"
              autoComplete="off"
              placeholder="ci"
              value={name}
              onChange={({ target }) => setName(target.value)}
            />
          </Labelled>
        </span>
        {isAdmin && (
          <Labelled word="Scope">
            <select
              className="field"
              value={scope}
              onChange={({ target }) => setScope(target.value as keyof typeof scopes)}
            >
              {Object.entries(scopes).map(([one, word]) => (
                <option key={one} value={one}>
                  {one}: {word}
                </option>
              ))}
            </select>
          </Labelled>
        )}
        <Labelled word="Expiration">
          <select className="field" value={life} onChange={({ target }) => setLife(target.value)}>
            {Object.keys(lives).map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </Labelled>
        <ActionButton
          className="max-sm:w-full"
          doing="Creating…"
          onFailure={setFailure}
          act={async (key) => {
            setFailure(undefined)
            const request: CreateTokenInput = {
              ...{ name: name.trim(), scope, expires_in_seconds: lives[life]! },
              ...(scope === 'api' && { allow: [...allow] }),
            }
            const token = await createToken(request, key)
            setName('')
            setAllow([])
            await done(token)
          }}
        >
          Create token
        </ActionButton>
      </div>
      {scope === 'api' && (
        <fieldset className="flex flex-wrap items-center gap-x-4 gap-y-1 text-meta text-ink2">
          <legend className="float-left mr-4">Can also manage</legend>
          {permissions
            .filter((one) => isAdmin || one !== 'users')
            .map((one) => (
              <label key={one} className="flex items-center gap-2 max-sm:min-h-11">
                <input
                  type="checkbox"
                  className="size-4 accent-accent"
                  checked={allow.includes(one)}
                  onChange={({ target }) =>
                    setAllow(target.checked ? [...allow, one] : allow.filter((each) => each !== one))
                  }
                />
                {one}
              </label>
            ))}
        </fieldset>
      )}
      {failure !== undefined && <Failure error={failure} />}
    </form>
  )
}
