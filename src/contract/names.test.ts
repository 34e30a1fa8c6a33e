import assert from 'node:assert/strict'
import test from 'node:test'
import { tokenVariables } from '../config/settings.ts'
import { isCredentialName, VarName } from './names.ts'

test('refuses a name that JavaScript would lose, and accepts other built-in names', () => {
  for (const name of ['A', '_', 'constructor', 'prototype', 'toString', '__proto', '__proto__2'])
    assert.equal(VarName.safeParse(name).success, true, name)
  for (const name of ['__proto__', '', '1A', 'A-B', 'A\n', 'A'.repeat(129)])
    assert.match(VarName.safeParse(name).error!.issues[0]!.message, /not "__proto__"/, name)
})

test('recognizes names of credentials by their ending, in any case', () => {
  const names =
    'OPENAI_API_KEY AWS_SECRET_ACCESS_KEY SSH_PRIVATE_KEY API_KEY APIKEY apikey TOKEN GITHUB_TOKEN npm_config__authToken ' +
    'SECRET CLIENT_SECRET PASSWORD PGPASSWORD MYSQL_ROOT_PASSWORD PASSWORD_1 PASSWD DB_PASSWD DB_PASS SMTP_PWD KEY_PASSPHRASE ' +
    'AZURE_CREDENTIALS GH_PAT SESSION_JWT ANTHROPIC_CUSTOM_HEADERS AWS_BEARER_TOKEN_BEDROCK'
  for (const name of [...names.split(' '), ...tokenVariables]) assert.ok(isCredentialName(name), name)
})

test('does not take other variables for credentials', () => {
  const names =
    'KEY PATH PWD OLDPWD PAT PASS HOME KEYBOARD MONKEY TOKENIZERS_PARALLELISM MAX_TOKENS SORT_KEY PRIMARY_KEY ' +
    'users_partition_key CACHE_KEY SSH_PUBLIC_KEY PASSWORD_FILE TOKEN_PATH KEY_ID AWS_ACCESS_KEY_ID SECRETS_DIR ' +
    'GOOGLE_APPLICATION_CREDENTIALS PASSWORD_MIN_LENGTH COMPASS BYPASS'
  for (const name of names.split(' ')) assert.ok(!isCredentialName(name), name)
})
