"""What the demo model knows of the two languages: data only, read by `terms`.

Three tables carry the meaning that a search by letters alone would miss: which words say nothing
(`STOP`, `WEAK`), which English words stand near each other (`KIN`), and which English words a Chinese
technical term answers to (`GLOSSARY`), so that a question in one language finds files in the other.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that carry no subject: never searched for.
STOP = _words(
    """
    a about above according actually after again all also although am an and another any anyone anything
    are aren't around as ask at away back be because been before being below between both but by can
    can't cannot come comes could couldn't describe did didn't do does doesn't doing don't done down
    during list lists two three each either else etc ever every everyone everything exactly explain few find following for
    from further get gets give given gives go goes going good got had has hasn't have haven't having he
    hello help her here hers him his how however i i'd i'll i'm i've if in inside instead into is isn't
    it it's its itself just kind know last let let's like little ll look looking lot made make makes
    many may maybe me mean means meant might mine more most much must my near need needed needs no nor
    not now of off often ok okay on once one only onto or other others our ours out over own per perhaps
    please possible put quite rather re really regarding right said same saw say says see seem seen
    several shall she should show simply far long large big small since so some somebody someone something somewhere sort still
    such take taken takes tell than thank thanks that that's the their theirs them themselves then
    there there's these they thing things this those though through thus to together too toward under
    unless until up upon us ve very want wants was wasn't way ways we well were weren't what what's
    whatever when whenever where where's wherever whether which while who who's whole whom whose why
    will with within without won't would wouldn't yes yet you you'd you'll you're your yours decides
    happen happens happened happening occur occurs mention mentioned mentions explained
    """
)

# Words that narrow little in a workspace, where everything is a file of a project: searched for last.
WEAK = _words(
    """
    apply base call called case code content contents detail details different document documentation documents
    example exist file files folder handle handled handles important include includes information kept keep keeps
    main part parts point program project purpose read repo repository section set software source specific
    support supported system thing use used user uses using work working works workspace write written next first
    new old idea app application allowed allow
    """
)

# Verbs that many sentences share.
DEEDS = _words(
    """
    add begin call default change check choose close create decide define end find install keep load open
    replace return run send set start stop store update
    """
)

IRREGULAR = {
    "began": "begin", "begun": "begin", "bound": "bound", "broke": "break", "broken": "break",
    "built": "build", "children": "child", "chose": "choose", "chosen": "choose", "dead": "die", "death": "die", "died": "die",
    "dies": "die", "fell": "fall", "found": "find", "gone": "go", "held": "hold", "kept": "keep",
    "lost": "lose", "people": "people", "ran": "run", "sent": "send", "spoke": "speak",
    "stored": "store", "threw": "throw", "thrown": "throw", "went": "go", "won": "win",
    "wrote": "write", "indices": "index", "criteria": "criterion", "decision": "decid",
    "decisions": "decid", "retries": "retry", "expiry": "expir", "failure": "fail",
    "failures": "fail", "fails": "fail", "failed": "fail", "failing": "fail",
}  # fmt: skip

# Families of English words that often stand for each other in technical text.
KIN = tuple(
    tuple(family.split())
    for family in """
    decide choose pick select claim
    renew extend heartbeat refresh prolong
    start launch boot begin spawn startup
    stop end terminate kill shutdown
    cancel abort stop interrupt
    delete remove drop erase forget purge
    error exception failure fail fault
    crash die kill fail
    configure setting option config configuration
    authenticate login password credential sign
    authorise permission access grant
    organisation tenant org
    licence copying copyright apache mit
    limit maximum bound cap quota budget
    retry repeat again attempt
    store save persist database
    database postgresql postgres sqlite schema
    install setup requirement dependency
    run execute start
    run job execution
    user person people member account
    next order turn
    queue ticket lane
    fair turn share
    create make add new insert
    update change modify edit
    send post publish emit notify
    receive listen subscribe get
    stream sse live
    test pytest check verify
    log record event audit
    expire timeout ttl deadline
    timeout deadline limit
    default fallback initial
    price cost usage
    search find query lookup
    model llm provider
    page view template
    command cli
    port address listen host
    version release changelog
    author maintainer contributor
    fast performance latency speed
    safe security secure protect
    encrypt cipher hash
    worker process cluster
    lock mutex lease
    memory recall remember
    approve confirm decide
    refuse reject deny forbid
    deploy production operate
    document docs readme
    import load ingest
    export download dump
    file path document
    resume continue recover restore
    share common
    isolate separate boundary schema cross
    state status pending transition lifecycle
    require need necessary
    prevent refuse forbid avoid
    api endpoint route url
    """.strip().splitlines()
)

# Chinese technical terms and the English words they answer to. Longest match wins when text is cut.
GLOSSARY = {
    term: tuple(words.split())
    for term, words in (
        line.strip().split(" ", 1)
        for line in """
    取消 cancel abort
    运行 run
    任务 task job
    队列 queue
    排队 queue
    组织 organisation org
    机构 organisation
    租户 tenant
    多租户 tenant
    项目 project
    成员 member
    会员 member
    用户 user
    人员 people person
    管理员 admin administrator
    所有者 owner
    角色 role
    权限 permission
    授权 authorise grant
    认证 authenticate
    身份 identity
    登录 login sign
    登出 logout
    密码 password
    密钥 key
    令牌 token
    会话 session
    租约 lease
    续租 renew
    续约 renew
    续期 renew extend
    更新 update renew
    心跳 heartbeat
    过期 expire expiry
    到期 expire
    超时 timeout
    端口 port
    默认 default
    缺省 default
    配置 configuration config configure setting
    设置 setting configure
    选项 option
    环境变量 environment
    环境 environment
    变量 variable
    参数 argument parameter
    命令 command
    命令行 command cli
    启动 start
    停止 stop
    关闭 close shutdown
    重启 restart
    重试 retry
    恢复 resume recover
    崩溃 crash
    故障 fault failure
    失败 fail
    错误 error
    异常 exception
    报错 error
    日志 log
    审计 audit
    事件 event
    流式 stream
    流 stream
    实时 live
    消息 message
    通知 notify notification
    订阅 subscribe
    发布 publish release
    数据库 database
    数据 data
    表 table
    模式 schema mode
    迁移 migrate
    事务 transaction
    提交 commit
    回滚 rollback
    索引 index
    查询 query
    锁 lock
    并发 concurrent
    并行 parallel
    串行 serial
    顺序 order
    优先级 priority
    公平 fair
    调度 schedule
    轮流 turn
    轮到 turn next
    下一个 next
    决定 decide choose
    选择 choose select
    工作进程 worker
    进程 process
    线程 thread
    集群 cluster
    机器 machine
    服务器 server
    服务 service server
    客户端 client
    浏览器 browser
    页面 page
    模板 template
    样式 style
    接口 api interface endpoint
    路由 route url
    请求 request
    响应 response
    网址 url
    地址 address url
    网络 network
    许可证 licence
    许可 licence permission
    协议 licence protocol
    版权 copyright licence
    开源 open-source licence
    版本 version
    作者 author
    依赖 dependency depend
    安装 install
    部署 deploy
    构建 build
    测试 test
    运行环境 environment
    文档 document docs
    说明 readme document
    模型 model
    提供商 provider
    供应商 provider
    演示 demo
    智能体 agent
    代理 agent proxy
    团队 team
    小组 group
    工具 tool
    工具调用 tool
    调用 call
    函数 function
    方法 method
    类 class
    模块 module
    对象 object
    字段 field
    类型 type
    状态 state status
    状态机 state transition
    步骤 step
    步 step
    引擎 engine
    检查点 checkpoint
    快照 snapshot checkpoint
    对话 conversation chat
    聊天 chat
    历史 history
    记忆 memory
    向量 vector
    嵌入 embedding
    检索 search retrieve
    搜索 search
    召回 recall
    分块 chunk
    预算 budget
    限制 limit
    上限 limit maximum
    限额 quota limit
    费用 cost
    成本 cost
    价格 price cost
    用量 usage
    审批 approval approve
    批准 approve
    拒绝 reject refuse deny
    风险 risk
    策略 policy
    规则 rule
    安全 security safe
    沙箱 sandbox
    隔离 isolate
    攻击 attack
    加密 encrypt
    签名 signature sign
    副作用 effect
    幂等 idempotent
    重复 repeat twice duplicate
    缓存 cache
    内存 memory
    磁盘 disk
    目录 directory folder
    文件夹 folder directory
    文件 file
    路径 path
    工作区 workspace
    工作目录 workspace
    符号链接 symlink
    上传 upload
    下载 download
    导出 export
    导入 import
    保存 save store
    存储 store storage
    删除 delete remove
    创建 create
    添加 add
    修改 change edit modify
    编辑 edit
    替换 replace
    读取 read
    写入 write
    格式 format
    编码 encoding
    解析 parse
    序列化 serialise
    校验 validate check
    验证 verify validate
    检查 check
    看到 see visible
    可见 visible see
    查看 view see
    监控 monitor metrics
    指标 metric
    健康 health
    性能 performance
    延迟 latency delay
    速度 speed
    备份 backup
    插件 plugin
    扩展 extension extend
    连接器 connector
    连接 connection connect
    飞书 feishu
    技能 skill
    黑板 blackboard
    委派 delegate
    注入 inject
    游标 cursor
    分页 paging page
    过滤 filter
    排序 sort order
    字符 character
    长度 length
    大小 size
    数量 number count
    次数 count times attempts
    最多 maximum most
    最大 maximum max
    最小 minimum min
    秒 second
    分钟 minute
    架构 architecture
    设计 design
    原则 principle
    承诺 promise
    流程 flow process
    快速开始 quickstart start
    入门 start
    示例 example
    贡献 contribute
    返回 return
    结果 result
    默认值 default
    触发 trigger
    监听 listen
    唤醒 wake
    等待 wait
    完成 complete finish
    结束 end finish
    暂停 pause
    继续 resume continue
    名称 name
    编号 id number
    标识 id identifier
    时间 time
    时区 timezone
    订单 order
    客户 customer client
    产品 product
    退款 refund
    支付 payment pay
    发票 invoice
    价格表 price
    联系 contact
    邮件 mail email
    电话 phone
    计划 plan
    目标 goal
    需求 requirement
    问题 problem issue
    语言 language
    中文 chinese
    英文 english
    房间 room
    会议室 room
    会议 meeting
    预订 book booking reserve
    预约 book appointment
    保留 keep retain
    开始 begin start
    日期 date
    截止 deadline due
    截止日期 deadline
    负责 responsible
    负责人 responsible owner
    公司 company
    员工 employee staff
    部门 department
    经理 manager
    合同 contract
    报告 report
    总结 summary
    摘要 summary abstract
    标题 title heading
    章节 chapter section
    段落 paragraph
    结论 conclusion
    实验 experiment
    算法 algorithm
    复杂度 complexity
    准确率 accuracy
    样本 sample
    训练 train
    数据集 dataset
    原因 reason cause
    优点 advantage benefit
    缺点 disadvantage drawback
    方案 plan proposal
    收入 revenue income
    利润 profit
    销售 sale
    市场 market
    质量 quality
    库存 stock inventory
    发货 ship delivery
    物流 delivery logistics
    地点 place location
    网站 website site
    按钮 button
    表单 form
    颜色 colour color
    图片 image picture
    视频 video
    图标 icon
    邮箱 mail email
    账号 account
    账户 account
    注册 register
    余额 balance
    折扣 discount
    保修 warranty
    退货 return
    评论 comment review
    标签 tag label
    分类 category
    关键词 keyword
    告警 alarm alert
    报警 alarm alert
    升级 upgrade
    冲突 conflict
    预防 prevent
    防止 prevent
    访客 guest visitor
    天数 day
    回答 answer
    答案 answer
    提问 ask question
    """.strip().splitlines()
    )
}

# Chinese words that carry no subject.
CHINESE_STOP = _words(
    """
    的 了 是 在 和 与 及 或 把 将 被 对 为 从 到 向 于 给 让 使 由 以 而 且 但 也 都 就 还 又 再 很 更 最 太 会 能 可 要 想 该 应
    吗 呢 吧 啊 呀 么 嘛 着 之 其 此 这 那 哪 谁 我 你 您 他 她 它 们 个 些 种 有 没 不 并
    什么 多久 多长 多大 怎么 怎样 如何 怎么样 为什么 为何 哪里 哪儿 哪些 哪个 哪一个 多少 几个 是否 是不是 有没有 能否 能不能 可以 可否 需要 应该 应当
    一个 一些 一下 这个 那个 这些 那些 这里 那里 我们 你们 他们 它们 自己 大家 请问 请 告诉 解释 说明一下 介绍 介绍一下 描述 关于 对于
    发生 会发生 进行 实现 使用 用来 用于 通过 根据 之后 之前 时候 的时候 以及 还是 或者 如果 那么 因为 所以 但是 然后 接着 由谁 情况 意思 东西 地方
    里面 当中 其中 是什么 做什么 干什么 是多少 怎么办 起来 出来 下来 哪 几 呗 当 所 本 该 用 不用 看 天 来
    """
)

# Chinese counterparts of WEAK.
CHINESE_WEAK = _words(
    "默认 默认值 项目 文件 代码 函数 系统 内容 名称 类型 工具 时间 用户 示例 问题 模块 程序 功能 数据 方法 修改 调用"
)
