import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.configuration.ClassicConfiguration;
import org.flywaydb.core.internal.configuration.TomlUtils;
import tools.jackson.databind.ObjectMapper;

/** Says what the real Flyway takes from a flyway.toml: one text as a JSON string per line, one answer per line. */
public final class Toml {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // whatever Flyway logs must not stand between the answers
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Path file = Files.createTempFile("flyway", ".toml");
        String line;
        while ((line = requests.readLine()) != null) {
            Files.writeString(file, JSON.readValue(line, String.class));
            answers.println(JSON.writeValueAsString(answer(file)));
        }
        Files.delete(file);
    }

    private static Map<String, Object> answer(Path file) {
        try {
            return Map.of("value", settings(new ClassicConfiguration(
                    TomlUtils.loadConfigurationFiles(List.of(file.toFile())))));
        } catch (FlywayException refusal) {
            return Map.of("refusal", String.valueOf(refusal.getMessage()));
        } catch (Exception failure) {
            return Map.of("failure", failure.getClass().getName() + ": " + failure.getMessage());
        }
    }

    private static Map<String, Object> settings(ClassicConfiguration made) {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("encoding", made.getEncoding().name());
        found.put("schemas", made.getSchemas());
        found.put("default_schema", made.getDefaultSchema());
        found.put("table", made.getTable());
        found.put("versioned_prefix", made.getSqlMigrationPrefix());
        found.put("repeatable_prefix", made.getRepeatableSqlMigrationPrefix());
        found.put("separator", made.getSqlMigrationSeparator());
        found.put("suffixes", made.getSqlMigrationSuffixes());
        found.put("placeholders", made.getPlaceholders());
        found.put("placeholder_prefix", made.getPlaceholderPrefix());
        found.put("placeholder_suffix", made.getPlaceholderSuffix());
        found.put("placeholder_separator", made.getPlaceholderSeparator());
        found.put("placeholder_replacement", made.isPlaceholderReplacement());
        found.put("out_of_order", made.isOutOfOrder());
        found.put("validate_on_migrate", made.isValidateOnMigrate());
        found.put("validate_naming", made.isValidateMigrationNaming());
        List<String> patterns = new ArrayList<>();
        for (Object pattern : made.getIgnoreMigrationPatterns()) patterns.add(pattern.toString());
        found.put("ignore_patterns", patterns);
        return found;
    }
}
