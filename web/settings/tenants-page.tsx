import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { addUser, hubFactsQuery } from '../data/account.ts'
import { ApiError } from '../data/api.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Labelled, mayTenants, Part, SettingsFrame } from './settings-frame.tsx'

/** Lists the hub's tenants for its operators; a new tenant is created with its first admin. */
export function TenantsPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const { data, error } = useQuery({ ...hubFactsQuery, enabled: mayTenants(me) })
  const [made, setMade] = useState<string>()
  return (
    <SettingsFrame title="Tenants">
      <Part
        title="New tenant"
        about="A tenant cannot see the users, runs, runners, secrets and names of another. You create it with its first admin, who logs in as TENANT/NAME."
      >
        <Add
          done={async (text) => {
            setMade(text)
            await client.invalidateQueries({ queryKey: hubFactsQuery.queryKey })
          }}
        />
        {made !== undefined && (
          <p role="status" className="mt-3 text-meta font-medium text-ok">
            {made}
          </p>
        )}
      </Part>
      <Part title="Tenants">
        {error instanceof ApiError && <Failure error={error} />}
        <ul className="overflow-clip rounded-[10px] border border-line empty:hidden">
          {(data?.tenants ?? []).map(({ name, users, admins }) => (
            <li
              key={name}
              className="flex min-h-11 items-center gap-4 border-t border-line px-3 py-1.5 first:border-t-0"
            >
              <span className="min-w-0 flex-1 truncate font-medium">
                <bdi>{name}</bdi>
                {name === me?.tenant && <span className="font-normal text-ink2"> (yours)</span>}
              </span>
              <span className="text-meta text-ink2">
                {users} {users === 1 ? 'user' : 'users'}, {admins} of them{' '}
                {admins === 1 ? 'an admin' : 'admins'}
              </span>
            </li>
          ))}
        </ul>
      </Part>
    </SettingsFrame>
  )
}

function Add({ done }: { done: (text: string) => Promise<void> }) {
  const [values, setValues] = useState({ tenant: '', name: '', password: '' })
  const [failure, setFailure] = useState<ApiError>()
  const field = (key: keyof typeof values, word: string, type = 'text') => (
    <Labelled word={word}>
      <input
        className="field"
        type={type}
        autoComplete={type === 'password' ? 'new-password' : 'off'}
        autoCapitalize="none"
        spellCheck={false}
        value={values[key]}
        onChange={({ target }) => setValues({ ...values, [key]: target.value })}
      />
    </Labelled>
  )
  return (
    <form className="flex flex-col gap-3" onSubmit={(event) => event.preventDefault()}>
      <div className="flex flex-wrap items-end gap-3">
        {field('tenant', 'Tenant name')}
        {field('name', 'First admin')}
        {field('password', 'Initial password', 'password')}
        <ActionButton
          className="max-sm:w-full"
          doing="Creating…"
          onFailure={setFailure}
          act={async (key) => {
            setFailure(undefined)
            const [tenant, name] = [values.tenant.trim(), values.name.trim()]
            await addUser({ tenant, name, password: values.password, role: 'admin' }, key)
            setValues({ tenant: '', name: '', password: '' })
            await done(`Created ${tenant}. Its admin logs in as ${tenant}/${name}.`)
          }}
        >
          Create tenant
        </ActionButton>
      </div>
      {failure !== undefined && <Failure error={failure} />}
    </form>
  )
}
