import { boot } from './machine.ts'
import { onEachSuite } from './suites.ts'
onEachSuite('try', async (t, suite) => {
  const m = await boot(t, { suite })
  for (const c of ['cd /src && bash -c "time ./install.sh"', 'curl -si http://localhost:17990/ | head -20','systemctl kill -s SIGUSR1 myserver; sleep 1; curl -si http://localhost:17990/any | head -20', 'systemctl status myserver','systemctl restart myserver;systemctl status myserver; systemctl kill -s SIGUSR2 myserver; sleep 1; systemctl status myserver; journalctl --no-pager -u myserver;journalctl --no-pager -u myserver -o json | tail -3', 'systemd-analyze security myserver | tail -3', 'ls -laR /opt/myserver | head -40; ls -la /var/lib/myserver /etc/myserver']) {
    const r = await m.run(c, { expectCode: 'any' })
    console.error(`$ ${c}\n${r.stdout}${r.stderr}[${r.code}]`)
  }
})
