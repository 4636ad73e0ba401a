import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** One node on loopback: {@code EsTestNode <home> <http port or 0> <transport port or 0>}. Prints READY and its port; ends when stdin does. */
public final class EsTestNode {
  public static void main(String[] args) throws Exception {
    LogConfigurator.configureESLogging();
    Settings settings = Settings.builder()
        .put("path.home", Path.of(args[0]).toAbsolutePath())
        .put("cluster.name", "dvengine-tests")
        .put("node.name", "n1")
        .put("network.host", "127.0.0.1")
        .put("http.port", args[1])
        .put("transport.port", args[2])
        .put("discovery.type", "single-node")
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .build();
    LogConfigurator.configureWithoutConfig(settings);
    var environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "n1");
    // The last false: the server was not started from module descriptors, but from a class path.
    var plugins = PluginsLoader.createPluginsLoader(
        PluginsLoader.loadModulesBundles(environment.modulesDir(), false),
        PluginsLoader.loadPluginsBundles(environment.pluginsDir(), false),
        Map.of(),
        false);
    Node node = new Node(environment, plugins);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        node.close();
        node.awaitClose(10, TimeUnit.SECONDS);
      } catch (Exception e) {
        e.printStackTrace();
      }
    }));
    node.start();
    int port = node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort();
    System.out.println("READY " + port);
    System.out.flush();
    while (System.in.read() >= 0) {
      // nothing is said to us; we wait for the end
    }
    System.exit(0);
  }
}
