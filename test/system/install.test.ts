// install.sh on a clean machine, and what it leaves there when it goes.

import { bootBare, enter, leave, mainPid, recordFile, untilStatus, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const settings = '/etc/myserver/myserver.env'

onEachSuite('install.sh', async (t, suite) => {
  const machine = await bootBare(t, suite)

  await t.test('without root it says so and does nothing', async t => {
    const { stderr } = await machine.run('setpriv --reuid nobody /src/install.sh', { expectCode: 1 })
    t.match(stderr, /root/)
    t.match(stderr, /sudo/)
    await machine.run('test -e /opt/myserver', { expectCode: 1 })
  })

  await t.test('without npm it says so and does nothing', async t => {
    await machine.run('mv /usr/bin/npm /usr/bin/npm.gone')
    const { stderr } = await machine.run('/src/install.sh', { expectCode: 1 })
    await machine.run('mv /usr/bin/npm.gone /usr/bin/npm')
    t.match(stderr, /npm/)
    await machine.run('test -e /opt/myserver || test -e /etc/myserver', { expectCode: 1 })
  })

  await t.test('when npm fails, nothing is left half-done', async t => {
    const { stderr } = await machine.run('npm_config_registry=http://127.0.0.1:9 npm_config_cache=/tmp/empty npm_config_fetch_retries=0 /src/install.sh', { expectCode: 1 })
    t.match(stderr, /npm ci failed/)
    t.match(stderr, /nothing was installed/)
    await machine.run('test -e /opt/myserver/current || test -e /etc/systemd/system/myserver.service', { expectCode: 1 })
  })

  await t.test('installs, enables and starts the service, and says what to do next', async t => {
    const { stdout } = await machine.run('/src/install.sh')
    t.match(stdout, /curl http:\/\/localhost:17990\//)
    t.match(stdout, /systemctl kill -s SIGUSR1 myserver/)
    t.equal((await machine.run('systemctl is-active myserver')).stdout, 'active\n')
    t.equal((await machine.run('systemctl is-enabled myserver')).stdout, 'enabled\n')
    t.equal(await machine.status(), 'live')
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('the service runs as its own user, on the Node that was installed with it', async t => {
    const { stdout } = await machine.run('ps -o user= -p $(systemctl show -p MainPID --value myserver)')
    t.equal(stdout.trim(), 'myserver')
    const { stdout: exe } = await machine.run('readlink /proc/$(systemctl show -p MainPID --value myserver)/exe')
    t.match(exe, /^\/opt\/myserver\/releases\/[^/]+\/node_modules\//)
  })

  await t.test('the command answers', async t => {
    await machine.run('myserver --check-config')
    t.match((await machine.run('myserver --version')).stdout, /\d+\.\d+\.\d+/)
  })

  await t.test('comes up by itself after a reboot', async t => {
    await machine.reboot()
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('run again, it upgrades and keeps an edited configuration', async t => {
    await machine.run(`echo '# mine' >>${settings}`)
    const before = (await machine.run('readlink /opt/myserver/current')).stdout
    await machine.run('/src/install.sh')
    t.not((await machine.run('readlink /opt/myserver/current')).stdout, before)
    t.match((await machine.run(`cat ${settings}`)).stdout, /# mine\n$/)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('what it says to try works wherever the service listens', async t => {
    await machine.run(`cp -p ${settings} /root/kept.env`)
    for (const [lines, command] of [
      ['HOST=::1\\nPORT=\\"17990\\"', 'curl http://[::1]:17990/'],
      ['LISTEN=/run/myserver/http.sock', "curl --unix-socket '/run/myserver/http.sock' http://localhost/"]
    ] as const) {
      await machine.run(`printf "${lines}\\n" >${settings}`)
      const { stdout } = await machine.run('/src/install.sh')
      const said = /^ {2}(curl .*)$/m.exec(stdout)?.[1] ?? ''
      t.equal(said, command)
      t.match((await machine.run(`${said} --silent --fail`)).stdout, /<html/)
    }
    await machine.run(`cp -p /root/kept.env ${settings} && systemctl restart myserver`)
  })

  await t.test('an upgrade leaves a service stopped that was stopped, and disabled that was disabled', async t => {
    await machine.run('systemctl disable --now myserver')
    const before = (await machine.run('readlink /opt/myserver/current')).stdout
    const { stdout } = await machine.run('/src/install.sh')
    t.match(stdout, /^it was disabled and stays so; .*: sudo systemctl enable myserver$/m)
    t.match(stdout, /it was stopped and stays so: sudo systemctl start myserver$/m)
    t.notMatch(stdout, /is running/)
    t.not((await machine.run('readlink /opt/myserver/current')).stdout, before)
    t.equal(await machine.property('ActiveState'), 'inactive')
    t.equal((await machine.run('systemctl is-enabled myserver', { expectCode: 1 })).stdout, 'disabled\n')
  })

  await t.test('one that runs though it is disabled is restarted, and not enabled', async t => {
    await machine.run('systemctl start myserver')
    const before = await mainPid(machine)
    t.match((await machine.run('/src/install.sh')).stdout, /is running: live/)
    t.not(await mainPid(machine), before)
    t.equal((await machine.run('systemctl is-enabled myserver', { expectCode: 1 })).stdout, 'disabled\n')
  })

  await t.test('one that is stopped though it is enabled is not started, and one that has failed is', async t => {
    await machine.run('systemctl enable myserver && systemctl stop myserver')
    t.notMatch((await machine.run('/src/install.sh')).stdout, /disabled/)
    t.equal(await machine.property('ActiveState'), 'inactive')
    await machine.run(`echo PORT=nonsense >>${settings}`)
    await machine.run('systemctl start myserver', { expectCode: 'any' })
    t.equal(await machine.property('ActiveState'), 'failed')
    await machine.run(`sed -i '$d' ${settings}`)
    await machine.run('/src/install.sh')
    t.equal(await machine.status(), 'live')
  })

  await t.test('--uninstall keeps state and configuration', async t => {
    await enter(machine)
    const record = (await machine.run(`cat ${recordFile}`)).stdout
    await machine.run('/src/install.sh --uninstall')
    await machine.run('test -e /opt/myserver || test -e /usr/local/bin/myserver || systemctl cat myserver 2>/dev/null', { expectCode: 1 })
    await machine.run('curl --silent http://localhost:17990/', { expectCode: 7 })
    t.equal((await machine.run(`cat ${recordFile}`)).stdout, record)
    t.match((await machine.run(`cat ${settings}`)).stdout, /# mine\n$/)
  })

  await t.test('installed over kept state, it is in the mode that it was in', async t => {
    await machine.run('/src/install.sh')
    t.equal((await visit(machine)).status, 503)
    await untilStatus(machine, /^maintenance/)
    await leave(machine)
  })

  await t.test('--purge removes everything', async t => {
    await machine.run('/src/install.sh --purge')
    const { stdout } = await machine.run(
      'find / -xdev -name "*myserver*" -not -path "/proc/*" -not -path "/src*" -not -path "/root/.npm/*" -not -path "/var/log/*"')
    t.equal(stdout, '')
    await machine.run('getent passwd myserver || getent group myserver', { expectCode: 2 })
  })

  await t.test('with nothing installed, --uninstall and --purge touch nothing', async t => {
    await machine.run('mkdir -p /var/cache/myserver && touch /var/cache/myserver/of-another')
    for (const option of ['--uninstall', '--purge']) {
      t.match((await machine.run(`/src/install.sh ${option}`)).stdout, /nothing to remove: on this machine/)
    }
    await machine.run('rm /var/cache/myserver/of-another && rmdir /var/cache/myserver')
  })

  await t.test('with DESTDIR it only puts files there, and says so', async t => {
    const { stdout } = await machine.run('DESTDIR=/tmp/image /src/install.sh')
    t.match(stdout, /nothing was started/)
    await machine.run('test -e /tmp/image/etc/systemd/system/myserver.service && test -L /tmp/image/opt/myserver/current')
    await machine.run('test -e /opt/myserver || systemctl cat myserver 2>/dev/null', { expectCode: 1 })
  })
})
